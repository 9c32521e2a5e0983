#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compares the imports of every room with arrows.txt. Also finds escapes from the compiler's checks without a reason.
#
#   arrows.sh [FOLDER]     checks the checkout at FOLDER (default: this one); exits with 1 if a rule is broken
#   arrows.sh --self-test  shows that each rule can fail
set -eu

check() {
    root=$1
    find "$root/Sources" -type f \( -name '*.swift' -o -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' \) |
        LC_ALL=C sort |
        LC_ALL=C awk -v root="$root" '
        function complain(text) { print text; failures++ }
        function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
        # Whether the path, relative to Sources, lies below one of these folders.
        function below(path, folders,    list, count, i) {
            count = split(folders, list, " ")
            for (i = 1; i <= count; i++) if (index(path, list[i] "/") == 1) return 1
            return 0
        }
        function read_table(    line, head, rest, list, count, i, kind, name) {
            while ((getline line < (root "/arrows.txt")) > 0) {
                if (line ~ /^[ \t]*(#|$)/) continue
                if (!match(line, /:/)) { complain("arrows.txt: this rule lacks a colon: " line); continue }
                head = trim(substr(line, 1, RSTART - 1)); rest = trim(substr(line, RSTART + 1))
                if (head == "everybody") {
                    count = split(rest, list, " ")
                    for (i = 1; i <= count; i++) everybody[list[i]] = 1
                    continue
                }
                kind = head; sub(/ .*/, "", kind); name = trim(substr(head, length(kind) + 1))
                if (kind == "room") {
                    rooms[name] = 1
                    count = split(rest, list, " ")
                    for (i = 1; i <= count; i++) may[name, list[i]] = 1
                } else if (kind == "only") only[name] = rest
                else if (kind == "header") header[name] = rest
                else if (kind == "calls") {
                    count = split(rest, list, " ")
                    for (i = 1; i <= count; i++) calls[name] = calls[name] (calls[name] == "" ? "" : "|") list[i]
                }
                else complain("arrows.txt: unknown rule: " line)
            }
        }
        function swift_import(line,    module) {
            sub(/^[ \t]*(@[A-Za-z_]+(\([^)]*\))?[ \t]+)*((public|package|internal|private|fileprivate)[ \t]+)?import[ \t]+/, "", line)
            sub(/^(struct|class|enum|protocol|func|var|let|typealias|actor)[ \t]+/, "", line)
            module = line
            sub(/[^A-Za-z0-9_].*/, "", module)
            imports++
            if (only[module] != "" && !below(path, only[module]))
                complain(place() "imports " module ", which only " only[module] " may")
            else if (!(module in everybody) && !((room SUBSEP module) in may))
                complain(place() room " may not import " module)
        }
        function place() { return "Sources/" path ":" number ": " }
        function scan(file,    line, above, prefix, quoted) {
            number = 0; above = ""
            path = substr(file, length(root "/Sources/") + 1)
            room = path; sub(/\/.*/, "", room)
            if (!(room in rooms)) { complain("Sources/" path ": arrows.txt does not list the room " room); return }
            while ((getline line < file) > 0) {
                number++
                if (file ~ /\.swift$/ && line ~ /^[ \t]*(@[A-Za-z_]+(\([^)]*\))?[ \t]+)*((public|package|internal|private|fileprivate)[ \t]+)?import[ \t]+[A-Za-z_]/) {
                    swift_import(line)
                    if (line ~ /public[ \t]+import[ \t]+(CPlatform|CDCMTK|CKernels|CRE2|CWeights|CPNG|CJPEG|CJPEG2000|CVideo|GRDB|Subprocess|Yams)/)
                        complain(place() "a public import would expose the dependency outside its room")
                }
                if (line ~ /^[ \t]*#[ \t]*include/) {
                    quoted = line; gsub(/^[^<"]*[<"]|[>"].*$/, "", quoted)
                    for (prefix in header)
                        if (index(quoted, prefix) == 1 && index(" " header[prefix] " ", " " room " ") == 0)
                            complain(place() "includes " quoted ", which only " header[prefix] " may")
                }
                if (file ~ /\.swift$/) system_call(line)
                escape(line, above)
                above = line
            }
            close(file)
        }
        function system_call(line,    owner) {
            gsub(/"([^"\\]|\\.)*"/, "", line)
            sub(/\/\/.*/, "", line)
            for (owner in calls)
                if (room != owner && match(line, "(^|[^A-Za-z0-9_.`])(" calls[owner] ")([^A-Za-z0-9_:]|$)"))
                    complain(place() "makes a system call, which only " owner " may: " trim(substr(line, RSTART)))
        }
        function escape(line, above) {
            if (line ~ /^[ \t]*\/\//) return
            if (line !~ /@unchecked[ \t]+Sendable|nonisolated\(unsafe\)|unsafeFlags/) return
            if (above !~ /^[ \t]*\/\//) complain(place() "lacks a reason on the line above: " trim(line))
        }
        BEGIN { read_table() }
        { scan($0); files++ }
        END {
            path = "../Package.swift"; number = 0; above = ""
            while ((getline line < (root "/Package.swift")) > 0) { number++; escape(line, above); above = line }
            if (failures > 0) { print failures " broken rules"; exit 1 }
            if (files == 0 || imports == 0) { print "Sources does not hold any source file"; exit 1 }
            print "arrows: " imports " imports in " files " files follow arrows.txt"
        }'
}

# Runs the check on a small checkout with one added line, and expects a complaint.
self_test() {
    table=$(cd "$(dirname "$0")/.." && pwd)/arrows.txt
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    failed=0
    expect() { # file, line, expected words or "nothing"
        rm -rf "$folder/Sources"
        mkdir -p "$folder/Sources/Imaging" "$folder/$(dirname "$1")"
        cp "$table" "$folder/arrows.txt"
        : >"$folder/Package.swift"
        echo 'import Foundation' >"$folder/Sources/Imaging/Value.swift"
        printf '%b\n' "$2" >>"$folder/$1"
        output=$(check "$folder" 2>&1) && status=0 || status=$?
        if [ "$3" = nothing ]; then
            [ "$status" = 0 ] || { echo "arrows.sh rejects a correct line: $1: $2: $output"; failed=1; }
        else
            case "$status $output" in
            1*"$3"*) ;;
            *) echo "arrows.sh accepts a wrong line: $1: $2: $output"; failed=1 ;;
            esac
        fi
    }
    expect Sources/Segmentation/A.swift 'import DICOM' 'Segmentation may not import DICOM'
    expect Sources/Segmentation/A.swift '@preconcurrency public import struct DICOM.Peer' 'may not import DICOM'
    expect Sources/Pipeline/A.swift 'import Segmentation' 'Pipeline may not import Segmentation'
    expect Sources/Routing/A.swift 'import CDCMTK' 'imports CDCMTK, which only DICOM CAssociations may'
    expect Sources/Imaging/A.swift 'import CPNG' 'imports CPNG, which only Imaging/Raster may'
    expect Sources/Pipeline/A.swift 'import GRDB' 'imports GRDB, which only Persistence may'
    expect Sources/DICOM/A.swift 'public import CDCMTK' 'would expose the dependency'
    expect Sources/Attic/A.swift 'import Foundation' 'does not list the room Attic'
    expect Sources/CKernels/A.cpp '#include "dcmtk/dcmdata/dctk.h"' 'which only CDCMTK CAssociations may'
    expect Sources/DICOM/A.swift 'final class A: @unchecked Sendable {}' 'lacks a reason'
    expect Sources/DICOM/A.swift 'nonisolated(unsafe) var a = 1' 'lacks a reason'
    expect Package.swift '.unsafeFlags(["-Ofast"])' 'lacks a reason'
    expect Sources/Pipeline/A.swift 'import Glibc' 'imports Glibc, which only Platform may'
    expect Sources/Pipeline/A.swift 'let a = open(path, O_RDONLY)' 'makes a system call, which only Platform may'
    expect Sources/Worker/A.swift 'guard fsync(descriptor) == 0 else { return }' 'only Platform may: fsync'
    expect Sources/Platform/A.swift 'let a = errno' nothing
    expect Sources/Pipeline/A.swift '// errno\nlet a = "errno" + b.errno' nothing
    expect Sources/DICOM/A.swift '// A lock guards it.\nfinal class A: @unchecked Sendable {}' nothing
    expect Sources/Imaging/Raster/A.swift 'import CPNG' nothing
    expect Sources/CAssociations/A.cpp '#include "dcmtk/dcmdata/dctk.h"' nothing
    expect Sources/Pipeline/A.swift 'public import DICOM\nimport Logging\n// import Segmentation' nothing
    [ "$failed" = 0 ] && echo "arrows.sh: every rule can fail"
    return "$failed"
}

case ${1:-} in
--self-test) self_test ;;
*) check "$(cd "${1:-$(dirname "$0")/..}" && pwd)" ;;
esac
