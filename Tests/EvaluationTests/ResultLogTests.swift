// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Foundation
import Imaging
import Testing

@Suite struct ResultLogTests {
    static let line = """
        {"confidence":{"measures":{"viewAgreement":0.5},"value":0.25},"frames":1,"key":{"caseID":"a","digest":"00",\
        "prompt":{"automatic":{}},"segmenter":"s","version":"1","weightsHash":"ff"},"kind":"frame","masks":[],\
        "name":"s","notes":[],"scores":{"answerIsEmpty":false,"dice":0.5,"iou":0.4,"precision":1,"recall":0.3,\
        "truthIsEmpty":false},"seconds":1.5}
        """

    @Test func `finds finished results again, and only those`() throws {
        let folder = try TestFolder()
        let result = try JSONDecoder().decode(CaseResult.self, from: Data(Self.line.utf8))
        var failed = result
        failed.key.caseID = "b"
        failed.failure = "the worker died"
        failed.scores = nil
        let log = try ResultLog(path: folder.file("results.jsonl"))
        try log.append(result)
        try log.append(failed)
        let again = try ResultLog(path: folder.file("results.jsonl"))
        #expect(again.result(result.key) == result)
        #expect(again.result(failed.key) == nil)
        var other = result.key
        other.weightsHash = "fe"
        #expect(again.result(other) == nil)
    }

    @Test func `a line cut off by a kill is passed over and does not spoil the next`() throws {
        let folder = try TestFolder()
        let result = try JSONDecoder().decode(CaseResult.self, from: Data(Self.line.utf8))
        for length in [1, 40, Self.line.utf8.count - 1] {
            let path = try folder.write(String(Self.line.prefix(length)), to: "cut-\(length).jsonl")
            let log = try ResultLog(path: path)
            #expect(log.result(result.key) == nil)
            try log.append(result)
            #expect(try ResultLog(path: path).result(result.key) == result)
        }
    }
}
