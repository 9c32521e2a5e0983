// SPDX-License-Identifier: Apache-2.0

/// Puts fragments together to messages: a command, then, if it says so, its data set (PS3.7 6.3.1, PS3.8 annex E.2).
///
/// A value that is given one fragment at a time and returns what to do with it. Messages do not interleave: neither
/// fragments of two contexts, nor a command before the data set of the one before.
package struct MessageMachine {
    package enum State: Equatable {
        case awaitingCommand
        case inCommand(contextID: UInt8, [UInt8])
        case inDataSet(contextID: UInt8)
    }

    package enum Action {
        /// Wait for the next fragment.
        case none
        /// The command is whole. Its data set, if it has one, follows.
        case command(CommandSet, contextID: UInt8)
        /// Part of the data set of the command before.
        case dataSet(UnsafeRawBufferPointer, isLast: Bool)
    }

    package private(set) var state = State.awaitingCommand
    /// The presentation contexts that were accepted.
    package let contextIDs: Set<UInt8>

    package init(contextIDs: Set<UInt8>) {
        self.contextIDs = contextIDs
    }

    /// - Throws: our abort, when the fragment has no place here.
    package mutating func receive(_ value: PresentationDataValue) throws(AssociationError) -> Action {
        guard contextIDs.contains(value.contextID) else {
            throw .aborted(.invalid("a fragment names a presentation context that was not accepted"))
        }
        // An endless message need not be long if its fragments may be empty.
        guard value.isLast || !value.bytes.isEmpty else {
            throw .aborted(.invalid("an empty fragment is not the last"))
        }
        switch (state, value.isCommand) {
        case (.awaitingCommand, true):
            return try add(value, to: [])
        case (.inCommand(let contextID, let bytes), true) where contextID == value.contextID:
            state = .awaitingCommand
            return try add(value, to: bytes)
        case (.inDataSet(let contextID), false) where contextID == value.contextID:
            if value.isLast { state = .awaitingCommand }
            return .dataSet(value.bytes, isLast: value.isLast)
        case (.awaitingCommand, false):
            throw .aborted(.unexpected("a data set came without a command"))
        case (.inCommand, _):
            throw .aborted(.unexpected("another message came within a command"))
        case (.inDataSet, _):
            throw .aborted(.unexpected("another message came within a data set"))
        }
    }

    private mutating func add(_ value: PresentationDataValue, to bytes: [UInt8]) throws(AssociationError) -> Action {
        guard bytes.count + value.bytes.count <= CommandSet.maximumLength else {
            throw .aborted(.invalid("a command is longer than \(CommandSet.maximumLength) bytes"))
        }
        let whole = bytes + value.bytes
        guard value.isLast else {
            state = .inCommand(contextID: value.contextID, whole)
            return .none
        }
        do {
            let command = try whole.withUnsafeBytes { (buffer) throws(CommandSetError) in
                try CommandSet(parsing: buffer)
            }
            if command.hasDataSet { state = .inDataSet(contextID: value.contextID) }
            return .command(command, contextID: value.contextID)
        } catch {
            throw .aborted(.invalid("command set: \(error)"))
        }
    }
}
