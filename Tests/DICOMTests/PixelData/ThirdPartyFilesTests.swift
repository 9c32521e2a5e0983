// SPDX-License-Identifier: Apache-2.0

import DICOM
import Foundation
import Testing
import TestSupport

/// Well and badly formed files of other makers: each gets an answer.
@Suite(.enabled(if: Checkout.data != nil, "\(Checkout.dataMissing)"))
struct ThirdPartyFilesTests {
    private func files(_ folder: String) throws -> [URL] {
        let root = try #require(Checkout.data).appending(path: "third-party/\(folder)")
        let found = try #require(FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil))
        return found.compactMap { $0 as? URL }.filter { $0.pathExtension == "dcm" }.sorted { $0.path < $1.path }
    }

    @Test(arguments: ["cornerstone3D", "malformed", "highdicom", "dcmqi"])
    func `gives every file an answer`(folder: String) throws {
        var answers: [String: Int] = [:]
        for url in try files(folder) {
            do {
                _ = try InstanceFile(path: url.path).frames()
                answers["decoded", default: 0] += 1
            } catch {
                #expect(!"\(error)".isEmpty)
                answers["refused", default: 0] += 1
            }
        }
        #expect(!answers.isEmpty)
    }

    @Test func `decodes one CT alike from every lossless transfer syntax`() throws {
        let images = try files("cornerstone3D").filter { $0.lastPathComponent.hasPrefix("CTImage.dcm_") }
        let reference = try #require(images.first { $0.lastPathComponent.contains("LittleEndianExplicit") })
        let expected = try InstanceFile(path: reference.path).frames()[0].samples
        var compared = 0
        for url in images {
            let name = url.lastPathComponent
            let decoded = try InstanceFile(path: url.path).frames()[0].samples
            let worst = zip(decoded, expected).map { abs($0 - $1) }.max() ?? .infinity
            let isLossy = ["Process1T", "Process2_4", "Process6_8", "Process10_12", "Lossy", "JPEG2000T"].contains(
                where: name.contains)
            if !isLossy { #expect(worst == 0, "\(name) is off by \(worst)") }
            compared += 1
        }
        #expect(compared >= 10)
    }
}
