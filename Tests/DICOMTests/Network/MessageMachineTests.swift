// SPDX-License-Identifier: Apache-2.0

import DICOM
import Testing

/// Feeds a machine fragments and says in a word what it made of each.
private struct Exercise {
    private var machine = MessageMachine(contextIDs: [1, 3])

    mutating func receive(_ bytes: [UInt8], command: Bool, last: Bool, context: UInt8 = 1) -> String {
        bytes.withUnsafeBytes { buffer in
            let value = PresentationDataValue(contextID: context, isCommand: command, isLast: last, bytes: buffer)
            do throws(AssociationError) {
                switch try machine.receive(value) {
                case .none: return "waits"
                case .command(let command, _): return command.hasDataSet ? "command, data set follows" : "command"
                case .dataSet(let bytes, let isLast): return "data set, \(bytes.count)\(isLast ? ", last" : "")"
                }
            } catch {
                guard case .aborted(let abort) = error, abort.by == .us else { return "\(error)" }
                return "abort \(abort.source)/\(abort.reason)"
            }
        }
    }

    static let echo = CommandSetTests.echo
    static let store = CommandSetTests.request(CommandField.storeRequest, dataSetType: 0)

    /// A machine that has been given the first half of a C-ECHO-RQ.
    static var inCommand: Exercise {
        var exercise = Exercise()
        #expect(exercise.receive(Array(echo[..<30]), command: true, last: false) == "waits")
        return exercise
    }

    /// A machine that has been given a C-STORE-RQ and the first bytes of its data set.
    static var inDataSet: Exercise {
        var exercise = Exercise()
        #expect(exercise.receive(store, command: true, last: true) == "command, data set follows")
        #expect(exercise.receive([1, 2], command: false, last: false) == "data set, 2")
        return exercise
    }
}

@Suite struct AwaitingCommandTests {
    @Test func `a whole command is a command`() {
        var exercise = Exercise()
        #expect(exercise.receive(Exercise.echo, command: true, last: true) == "command")
        #expect(exercise.receive(Exercise.echo, command: true, last: true, context: 3) == "command")
    }

    @Test func `a command with a data set waits for it`() {
        var exercise = Exercise()
        #expect(exercise.receive(Exercise.store, command: true, last: true) == "command, data set follows")
        #expect(exercise.receive([], command: false, last: true) == "data set, 0, last")
        #expect(exercise.receive(Exercise.echo, command: true, last: true) == "command")
    }

    @Test func `a data set without a command is aborted`() {
        var exercise = Exercise()
        #expect(exercise.receive([1, 2], command: false, last: true) == "abort 2/2")
    }

    @Test func `a context that was not accepted is aborted`() {
        var exercise = Exercise()
        #expect(exercise.receive(Exercise.echo, command: true, last: true, context: 5) == "abort 2/6")
    }

    @Test func `bytes that are not a command are aborted`() {
        var exercise = Exercise()
        #expect(exercise.receive([1, 2, 3], command: true, last: true) == "abort 2/6")
    }
}

@Suite struct InCommandTests {
    @Test func `the last fragment completes the command`() {
        var exercise = Exercise.inCommand
        #expect(exercise.receive(Array(Exercise.echo[30...]), command: true, last: true) == "command")
    }

    @Test func `a fragment of another context is aborted`() {
        var exercise = Exercise.inCommand
        #expect(exercise.receive(Array(Exercise.echo[30...]), command: true, last: true, context: 3) == "abort 2/2")
    }

    @Test func `a data set is aborted`() {
        var exercise = Exercise.inCommand
        #expect(exercise.receive([1, 2], command: false, last: true) == "abort 2/2")
    }

    @Test func `an empty fragment that is not the last is aborted`() {
        var exercise = Exercise.inCommand
        #expect(exercise.receive([], command: true, last: false) == "abort 2/6")
    }

    @Test func `more than 16 KiB are aborted`() {
        var exercise = Exercise()
        let part = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<4 { #expect(exercise.receive(part, command: true, last: false) == "waits") }
        #expect(exercise.receive([0], command: true, last: false) == "abort 2/6")
    }
}

@Suite struct InDataSetTests {
    @Test func `parts come until the last`() {
        var exercise = Exercise.inDataSet
        #expect(exercise.receive([3], command: false, last: false) == "data set, 1")
        #expect(exercise.receive([4, 5, 6], command: false, last: true) == "data set, 3, last")
        #expect(exercise.receive([7], command: false, last: true) == "abort 2/2")
    }

    @Test func `a command is aborted`() {
        var exercise = Exercise.inDataSet
        #expect(exercise.receive(Exercise.echo, command: true, last: true) == "abort 2/2")
    }

    @Test func `a fragment of another context is aborted`() {
        var exercise = Exercise.inDataSet
        #expect(exercise.receive([3], command: false, last: true, context: 3) == "abort 2/2")
    }

    @Test func `an empty fragment that is not the last is aborted`() {
        var exercise = Exercise.inDataSet
        #expect(exercise.receive([], command: false, last: false) == "abort 2/6")
    }
}
