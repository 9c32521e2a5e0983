// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging
import Kontur
import Persistence
import Pipeline
import Platform
import Routing
import TestSupport
import Testing

@Suite struct ConfigurationTests {
    static let segmenters = ["polyp-compact", "left-atrium-compact"]

    static func configuration(_ yaml: String) throws -> NodeConfiguration {
        try NodeConfiguration(yaml: yaml, file: "kontur.yaml", folder: "/etc/kontur", segmenters: segmenters)
    }

    /// What is wrong with `yaml`, as printed, without the file's name.
    static func problems(_ yaml: String) -> [String] {
        do {
            _ = try configuration(yaml)
            return []
        } catch let error as ConfigurationError {
            return error.problems.map { String($0.description.dropFirst("kontur.yaml:".count)) }
        } catch {
            return ["\(error)"]
        }
    }

    @Test func `a whole configuration is read`() throws {
        let configuration = try Self.configuration(
            """
            node: {aeTitle: KONTUR2, port: 104, bind: "::", maxAssociations: 8, maxAssociationsPerPeer: 5, idleSeconds: 30, workers: 2}
            peers:
              - {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: 4242, viewerProfile: ohif, commitment: true}
              - {name: scope, aeTitle: ENDO1, from: [10.1.0.0/24, "fd00::/8"], may: [store]}
            spool: {path: data, minimumFree: 512MiB, maxInstance: 2GiB, keep: {done: 2d, unmatched: 90s, quarantined: 1w}}
            series: {quietSeconds: 5, waitAtMostSeconds: 60, perModality: {ES: {quietSeconds: 120}}}
            routes:
              - name: colonoscopy
                when: [{modality: [ES], studyDescription: {matches: "(?i)colo"}}, {modality: XC}]
                segmenter: polyp-compact
                sendTo: [archive]
                gaps: mark
                framesPerSecond: 2.5
                type: fractional
                report: true
                reviewBelow: 0.7
                onLowConfidence: hold
            """)
        #expect(configuration.listener.aeTitle.text == "KONTUR2")
        #expect(configuration.listener.port == 104)
        #expect(configuration.listener.maxAssociations == 8)
        #expect(configuration.listener.maxAssociationsPerPeer == 5)
        #expect(configuration.listener.idleLimit == .seconds(30))
        #expect(configuration.workers == 2)
        #expect(configuration.peers.map(\.name) == ["archive", "scope"])
        #expect(configuration.peers[0].isCallable)
        #expect(configuration.peers[0].viewerProfile == .ohif)
        #expect(configuration.peers.map(\.commitment).prefix(2) == [true, false])
        #expect(configuration.peers[0].may == [.store, .echo])
        #expect(!configuration.peers[1].isCallable)
        #expect(configuration.peers[1].may == [.store])
        #expect(configuration.peers[1].from.count == 2)
        #expect(configuration.spool.path == "/etc/kontur/data")
        #expect(configuration.spool.minimumFree == 512 << 20)
        #expect(configuration.spool.maxInstance == 2 << 30)
        #expect(configuration.spool.keep.done == .seconds(2 * 86_400))
        #expect(configuration.spool.keep.unmatched == .seconds(90))
        #expect(configuration.spool.keep.quarantined == .seconds(7 * 86_400))
        #expect(configuration.series.waiting.quietSeconds == 5)
        #expect(configuration.series.waiting(modality: "ES").quietSeconds == 120)
        #expect(configuration.series.waiting(modality: "ES").waitAtMostSeconds == 120)
        #expect(configuration.routes.map(\.name) == ["colonoscopy"])
        #expect(configuration.routes[0].report && !configuration.routes[0].pictures)
        #expect(configuration.routes[0].when.count == 2)
        #expect(configuration.routes[0].gaps == .mark)
        #expect(configuration.routes[0].framesPerSecond == 2.5)
        #expect(configuration.routes[0].type == .fractional)
        #expect(configuration.routes[0].review == ReviewRule(below: 0.7, action: .hold))
    }

    @Test func `installed weights and parameters of a recipe are named by a route`() throws {
        let configuration = try NodeConfiguration(
            yaml: """
                models: {path: ../models}
                spool: {path: /var/kontur}
                routes:
                  - name: a
                    when: {modality: MR}
                    segmenter: medsam-slices
                    weights: medsam_vit_b
                    margin: 6
                    shift: 10
                    sendTo: []
                  - {name: b, when: {modality: CT}, segmenter: medsam-slices, sendTo: []}
                """, file: "kontur.yaml", folder: "/etc/kontur", segmenters: ["medsam-slices"])
        #expect(configuration.models == "/etc/models")
        #expect(configuration.routes[0].weights == "medsam_vit_b")
        #expect(configuration.routes[0].options == SegmenterOptions(margin: 6, shift: 10))
        #expect(configuration.places["a"]?.weights?.line == 7)
        #expect(configuration.routes[1].weights == nil)
        #expect(configuration.routes[1].options == .none)
        #expect(configuration.places["b"]?.segmenter.line == 11)
        #expect(try Self.configuration("spool: {path: /var/kontur}").models == "/var/kontur/models")
    }

    @Test func `the example in the repository is valid`() throws {
        let file = Checkout.root.appending(path: "kontur.example.yaml").path
        let configuration = try NodeConfiguration.load(file, segmenters: Self.segmenters)
        #expect(configuration.peers.count == 2)
        #expect(configuration.routes.count == 2)
    }

    @Test func `without a file there are no peers and no routes`() {
        let configuration = NodeConfiguration.defaults(segmenters: Self.segmenters)
        #expect(configuration.peers.isEmpty)
        #expect(configuration.routes.isEmpty)
        #expect(configuration.file == nil)
        #expect(configuration.listener.port == 11112)
        #expect(configuration.listener.aeTitle.text == "KONTUR")
    }

    @Test func `errors everywhere are all reported, each with its line and column`() {
        let yaml = """
            node: {aeTitle: "BACK\\\\SLASH", port: 70000, bind: nowhere, workrs: 2}
            peers:
              - {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, prt: 4242}
              - {name: archive, aeTitle: SEVENTEENLETTERSX, host: a b}
              - name: scope
                aeTitle: ENDO1
                from: [10.1.0.0/33, 10.2.0.1]
                may: [stor]
            spool: {minimumFree: lots, keep: {done: 7}}
            series: {quietSeconds: 0, perModality: {es: {quietSeconds: x}}}
            routes:
              - name: one
                when: {modalty: [ES], studyDescription: {matches: "(colo"}}
                segmenter: polyp-compct
                sendTo: [archiv, scope]
              - name: one
                when: {numberOfInstances: {min: many}}
                segmenter: unet
                type: bits
            colour: red
            """
        #expect(
            Self.problems(yaml) == [
                "1:17: node.aeTitle: expected an AE title: 1 to 16 ASCII characters, no backslash, found 'BACK\\SLASH'",
                "1:38: node.port: expected a port, 0 to 65535, found '70000'",
                "1:51: node.bind: expected an IP address such as 0.0.0.0, 127.0.0.1 or ::, found 'nowhere'",
                "1:60: node.workrs: unknown key; did you mean 'workers'?",
                "3:56: peers[0].prt: unknown key; did you mean 'port'?",
                "4:12: peers[1].name: an earlier peer has this name",
                "4:30: peers[1].aeTitle: expected an AE title: 1 to 16 ASCII characters, no backslash, found "
                    + "'SEVENTEENLETTERSX'",
                "4:55: peers[1].host: expected a host name or an IP address, found 'a b'",
                "7:12: peers[2].from[0]: expected an address or a block such as 10.1.0.0/24, found '10.1.0.0/33'",
                "8:11: peers[2].may[0]: expected store or echo, found 'stor'",
                "9:22: spool.minimumFree: expected a size such as 512MiB or 2GiB, found 'lots'",
                "9:41: spool.keep.done: expected a duration such as 90s, 30m, 1h or 7d, found '7'",
                "10:24: series.quietSeconds: expected seconds, 1 to 86400, found '0'",
                "10:41: series.perModality.es: expected a modality such as ES or MR, in capitals",
                "10:60: series.perModality.es.quietSeconds: expected seconds, 1 to 86400, found 'x'",
                "13:12: routes[0].when.modalty: unknown condition 'modalty'; did you mean 'modality'?",
                "13:55: routes[0].when.studyDescription.matches: at character 1 of the pattern: this group is never closed",
                "14:16: routes[0].segmenter: expected a segmenter: polyp-compact or left-atrium-compact, found 'polyp-compct'",
                "15:14: routes[0].sendTo[0]: unknown peer 'archiv'; did you mean 'archive'?",
                "16:5: routes[1]: 'sendTo' is missing: a list of peers; [] keeps the result in the spool",
                "16:11: routes[1].name: an earlier route has this name",
                "17:37: routes[1].when.numberOfInstances.min: expected a number, 0 or more",
                "18:16: routes[1].segmenter: expected a segmenter: polyp-compact or left-atrium-compact, found 'unet'",
                "19:11: routes[1].type: expected binary or fractional, found 'bits'",
                "20:1: colour: unknown key; known are node, peers, spool, series, models, routes",
            ])
    }

    @Test(arguments: [
        (
            "peers:\n  - {name: a, aeTitle: A}",
            "2:5: peers[0]: 'host' and 'from' are missing: the peer could neither call nor be called; add one of them"
        ),
        (
            "peers:\n  - {name: a b, aeTitle: A, host: h}",
            "2:12: peers[0].name: expected a name: up to 64 letters, digits, '-', '_' and '.', beginning with a letter or digit, found 'a b'"
        ),
        (
            "peers:\n  - {name: a, aeTitle: A, from: [1.2.3.4], port: 1}",
            "2:50: peers[0].port: a port needs a 'host'; add one"
        ),
        (
            "peers:\n  - {name: a, aeTitle: A, from: [1.2.3.4], commitment: true}",
            "2:56: peers[0].commitment: commitment is asked of a peer that is called; add its 'host' and 'port'"
        ),
        (
            "peers:\n  - {name: a, aeTitle: A, host: h, port: 1, commitment: maybe}",
            "2:57: peers[0].commitment: expected true or false, found 'maybe'"
        ),
        (
            "peers: 3",
            "1:8: peers: expected a list of peers such as {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: 4242}"
        ),
        (
            "node: [1]",
            "1:7: node: expected keys and values: aeTitle, port, bind, maxAssociations, maxAssociationsPerPeer, idleSeconds, workers, tls"
        ),
        (
            "node: {maxAssociations: 4, maxAssociationsPerPeer: 5}",
            "1:52: node.maxAssociationsPerPeer: more than maxAssociations, which is 4"
        ),
        (
            "series: {quietSeconds: 50, waitAtMostSeconds: 20}",
            "1:47: series.waitAtMostSeconds: less than quietSeconds, which is 50"
        ),
        (
            "spool: {maxInstance: 1kB}",
            "1:22: spool.maxInstance: expected a size such as 512MiB or 2GiB, at least 1MiB, found '1kB'"
        ),
        (
            "routes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, margin: 3, sendTo: []}",
            "2:71: routes[0].margin: polyp-compact cannot use 'margin': it takes no options"
        ),
        (
            "routes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, framesPerSecond: 0, sendTo: []}",
            "2:80: routes[0].framesPerSecond: expected a number of frames per second, above 0 and at most 1000, found '0'"
        ),
        (
            "routes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, shift: far, sendTo: []}",
            "2:70: routes[0].shift: expected a number of pixels of the network's input, found 'far'"
        ),
        ("models: models", "1:9: models: expected keys and values: path"),
        ("node:\n  port: 1\n  port: 2", "2:3: the same key twice in one map: port"),
        (
            "node: {port: 1",
            "2:1: not YAML: did not find expected ',' or '}' (while parsing a flow mapping that begins in line 1)"
        ),
        (
            "routes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, sendTo: [x]}",
            "2:72: routes[0].sendTo[0]: unknown peer 'x'; the configuration has no peers: add it under 'peers'"
        ),
        (
            "peers:\n  - {name: x, aeTitle: X, from: [1.2.3.4]}\nroutes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, sendTo: [x]}",
            "4:72: routes[0].sendTo[0]: peer 'x' has no 'host' and 'port', so nothing can be sent to it"
        ),
        (
            "peers:\n  - {name: x, aeTitle: X, host: h, port: 1, viewerProfile: labelmap}\nroutes:\n  - {name: a, when: {modality: MR}, segmenter: polyp-compact, type: fractional, sendTo: [x]}",
            "4:69: routes[0].type: peer 'x' gets label maps, which do not hold probabilities: send fractional SEGs to peers with another viewerProfile"
        ),
        (
            "routes:\n  - {name: a, when: , segmenter: polyp-compact, sendTo: []}",
            "2:21: routes[0].when: expected conditions such as {modality: [MR]}"
        ),
        (
            "routes:\n  - {name: a, when: {not: {modality: }}, segmenter: polyp-compact, sendTo: []}",
            "2:38: routes[0].when.not.modality: expected a text, a list of texts, or {matches: pattern}"
        ),
    ])
    func `one error is reported in these words`(_ yaml: String, _ problem: String) {
        #expect(Self.problems(yaml) == [problem])
    }

    // MARK: - Mistakes between two peers, two routes, or a setting and the machine

    @Test(arguments: [
        ("host: localhost", "host: 127.0.0.1, may: [echo]", true),
        ("host: 10.1.0.7", "host: 10.1.0.7, may: [echo]", true),
        ("host: pacs.example", "host: PACS.example, may: [store]", true),
        ("from: [10.1.0.0/16]", "host: 10.1.0.7, may: [echo]", true),
        ("from: [10.1.2.0/24]", "from: [192.0.2.1, 10.1.0.0/16], may: []", true),
        ("host: 10.1.0.7", "host: 10.1.0.7, port: 105", false),
        ("host: 10.1.0.7", "host: 10.1.0.8, may: [echo]", false),
        ("from: [10.1.0.0/16]", "from: [10.2.0.0/16], may: [echo]", false),
        ("host: 10.1.0.7, from: [192.0.2.1]", "host: 10.1.0.7, may: [echo]", false),
    ])
    func `two peers of one AE title and address have the same rights`(_ one: String, _ other: String, isWrong: Bool) {
        let problems = Self.problems("peers:\n  - {name: a, aeTitle: A, \(one)}\n  - {name: b, aeTitle: A, \(other)}")
        let reason =
            "3:5: peers[1]: peer 'a' has the same AE title and may call from the same addresses, but 'may' differs: Kontur "
            + "could not tell who calls; give both the same 'may', or other addresses"
        #expect(problems == (isWrong ? [reason] : []))
    }

    @Test(arguments: [
        ("{modality: [MR]}", "{modality: MR, bodyPart: [HEART]}", true),
        ("{modality: [MR, CT]}", "{modality: mr}", true),
        ("{modality: MR}", "{modality: [MR, CT]}", false),
        ("{numberOfInstances: {min: 10}}", "{numberOfInstances: {min: 20, max: 90}}", true),
        ("{numberOfInstances: {min: 20}}", "{numberOfInstances: {min: 10}}", false),
        (
            "{studyDescription: {matches: \"(?i)colo\"}}", "{modality: ES, studyDescription: {matches: \"(?i)colo\"}}",
            true
        ),
        ("{studyDescription: {matches: colo}}", "{studyDescription: colonoscopy}", false),
        ("{not: {modality: MR, bodyPart: A}}", "{not: {bodyPart: A, modality: MR}, imageType: ORIGINAL}", true),
        ("{not: {modality: MR}}", "{modality: CT}", false),
        ("[{modality: MR}, {modality: CT}]", "[{modality: CT, bodyPart: A}, {modality: MR}]", true),
        ("[{modality: MR}, {modality: CT}]", "[{modality: CT}, {modality: ES}]", false),
        ("{modality: MR, bodyPart: A}", "{modality: MR}", false),
    ])
    func `a route that no stack can reach is an error`(_ earlier: String, _ later: String, isWrong: Bool) {
        let problems = Self.problems(
            """
            routes:
              - {name: a, when: \(earlier), segmenter: polyp-compact, sendTo: []}
              - {name: b, when: \(later), segmenter: polyp-compact, sendTo: []}
            """)
        let reason =
            "3:21: routes[1].when: no stack reaches this route: 'a' above takes every stack that matches; move this route "
            + "up, or remove it"
        #expect(problems == (isWrong ? [reason] : []))
    }

    /// The mistakes of a file on a machine with these addresses and a disk of 4 GiB.
    private static func machineProblems(_ yaml: String) throws -> [String] {
        let addresses = ["127.0.0.1", "10.1.0.9"].compactMap { IPAddress($0) }
        do {
            try configuration(yaml).checkMachine(addresses: addresses, diskSize: 4 << 30)
            return []
        } catch let error as ConfigurationError {
            return error.problems.map { String($0.description.dropFirst("kontur.yaml:".count)) }
        }
    }

    @Test(arguments: [
        ("0.0.0.0", "127.0.0.1", 104, true), ("0.0.0.0", "10.1.0.9", 104, true), ("0.0.0.0", "localhost", 104, true),
        ("10.1.0.9", "10.1.0.9", 104, true), ("10.1.0.9", "127.0.0.1", 104, false), ("0.0.0.0", "10.1.0.9", 105, false),
        ("0.0.0.0", "10.1.0.7", 104, false), ("127.0.0.1", "localhost", 104, true),
    ])
    func `a node is not its own peer`(_ bind: String, _ host: String, port: Int, isWrong: Bool) throws {
        let problems = try Self.machineProblems(
            "node: {bind: \(bind), port: 104}\npeers:\n  - {name: a, aeTitle: KONTUR, host: \(host), port: \(port)}")
        #expect(problems.count == (isWrong ? 1 : 0))
        #expect(problems.allSatisfy { $0.hasPrefix("3:5: peers[0]: peer 'a' is this node itself: it listens at") })
    }

    @Test func `limits that the disk can never hold are an error`() throws {
        #expect(try Self.machineProblems("spool: {minimumFree: 2GiB, maxInstance: 1GiB}").isEmpty)
        #expect(try Self.machineProblems("spool: {minimumFree: 3GiB}").isEmpty)
        #expect(
            try Self.machineProblems("spool: {path: /s, minimumFree: 2GiB, maxInstance: 3GiB}") == [
                "1:51: spool.maxInstance: the disk of /s has 4096 MiB in all, less than spool.minimumFree (2048 MiB) and "
                    + "spool.maxInstance (3072 MiB) together, so every association would be rejected; lower one of them, or "
                    + "choose another spool.path"
            ])
    }

    @Test func `an error in a peer does not make its routes wrong too`() {
        let yaml = """
            peers:
              - {name: archive, aeTitle: ORTHANC, host: 127.0.0.1, port: x}
            routes:
              - {name: a, when: {modality: MR}, segmenter: polyp-compact, sendTo: [archive]}
            """
        #expect(Self.problems(yaml).count == 1)
    }

    @Test func `a file that is not there is an error with its name`() {
        let error = #expect(throws: ConfigurationError.self) {
            try NodeConfiguration.load("/nowhere/kontur.yaml", segmenters: [])
        }
        #expect(
            error?.description
                == "/nowhere/kontur.yaml:1:1: cannot be read; give the path of a configuration, such as a copy of "
                + "kontur.example.yaml\n1 error in the configuration; nothing was started")
    }

    @Test func `the hash knows the meaning and not the layout`() throws {
        let hash = try Self.configuration("node: {port: 104, workers: 2}").hash
        #expect(hash.count == 64)
        #expect(try Self.configuration("# a comment\nnode:\n  workers: 2\n  port: '104'\n").hash == hash)
        #expect(try Self.configuration("node: {port: 105, workers: 2}").hash != hash)
        let routes = ["a", "b"].map { "{name: \($0), when: {modality: \($0)}, segmenter: polyp-compact, sendTo: []}" }
        #expect(
            try Self.configuration("routes: [\(routes[0]), \(routes[1])]").hash
                != Self.configuration("routes: [\(routes[1]), \(routes[0])]").hash)
    }

    @Test(
        arguments: [
            ("2GiB", 2 << 30), ("512MiB", 512 << 20), ("1.5 KiB", 1536), ("100", 100), ("3kB", 3000), ("0", 0),
            ("", nil), ("GiB", nil),
            ("-1", nil), ("2gib", nil), ("1e3", nil), ("99999999TiB", nil), ("1.2.3MB", nil),
        ] as [(String, Int64?)])
    func `a size is a number and a unit`(_ text: String, _ bytes: Int64?) {
        #expect(Quantities.bytes(text) == bytes)
    }

    @Test(
        arguments: [
            ("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600), ("0s", 0), ("1.5h", 5400),
            ("7", nil),
            ("7 days", nil), ("", nil), ("d", nil), ("-1h", nil), ("99999999w", nil),
        ] as [(String, Int64?)])
    func `a duration is a number and a unit`(_ text: String, _ seconds: Int64?) {
        #expect(Quantities.duration(text) == seconds.map { .seconds($0) })
    }
}
