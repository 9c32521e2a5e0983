// SPDX-License-Identifier: Apache-2.0
//
// The part of Python's pickle (Lib/pickletools.py describes every opcode) that `torch.save` writes
// for tensors in containers, protocols 2 to 5. A pickle can build numbers, texts, lists, tuples,
// dictionaries and views of tensors. The reader refuses a pickle as soon as it names any other object. It never calls a
// Python function: REDUCE and BUILD handle only the few names of `PickleName`.
//
// Bytes, objects, stack and memo are limited. An opcode takes time in proportion to the bytes that
// it moves. The pickle of a ViT-H with its optimizer has 0.4 MB and 17,000 objects.

/// The objects of a pickle.
struct Pickle {
    /// The largest size of a pickle, in bytes.
    static let mostBytes = 4 << 20
    /// The largest number of objects.
    static let mostObjects = 1 << 18
    /// The largest number of values on the stack.
    static let deepestStack = 1 << 16
    /// The largest number of marks on the stack, which bounds the nesting of containers.
    static let mostMarks = 1 << 10
    /// The largest number of values in the memo.
    static let mostMemo = 1 << 18
    /// The longest name of a module, and of an object in a module, in bytes.
    static let longestName = 256

    /// All containers, names, storages and tensors; `PickleValue.object` holds an index into this
    /// array.
    private(set) var objects: [PickleObject] = []
    /// The value that the pickle returns.
    private(set) var root = PickleValue.none

    private let bytes: [UInt8]
    private var position = 0
    private var stack: [PickleValue] = []
    /// The heights of the stack at its marks.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var storages: [String: PickleStorage] = [:]

    /// Reads a pickle.
    ///
    /// - Parameter bytes: the content of `data.pkl`.
    /// - Throws: `CheckpointError.pickle` or `.refusedName`.
    init(_ bytes: [UInt8]) throws(CheckpointError) {
        self.bytes = bytes
        var start = 0
        do throws(PickleFault) {
            guard bytes.count <= Self.mostBytes else { throw PickleFault("it has more than \(Self.mostBytes) bytes") }
            repeat { start = position } while try step()
        } catch {
            if let name = error.name { throw .refusedName(name) }
            throw .pickle(reason: error.reason, offset: start)
        }
    }

    /// Reads one opcode; the result is false at the end of the pickle.
    private mutating func step() throws(PickleFault) -> Bool {
        let code = try byte()
        switch code {
        case 0x80: try protocolNumber()
        case 0x95: _ = try count(width: 8)  // FRAME: the bytes to read at once, which do not matter here.
        case UInt8(ascii: "."):
            root = try pop()
            return false
        case UInt8(ascii: "("):
            guard marks.count < Self.mostMarks else { throw PickleFault("containers are nested too deep") }
            marks.append(stack.count)
        case UInt8(ascii: "}"): try make(.dictionary([]))
        case UInt8(ascii: "]"): try make(.list([]))
        case UInt8(ascii: ")"): try make(.tuple([]))
        case UInt8(ascii: "t"): try make(.tuple(popToMark()))
        case 0x85: try makeTuple(1)
        case 0x86: try makeTuple(2)
        case 0x87: try makeTuple(3)
        case UInt8(ascii: "a"): try append([pop()])
        case UInt8(ascii: "e"): try append(popToMark())
        case UInt8(ascii: "s"): try set(popLast(2))
        case UInt8(ascii: "u"): try set(popToMark())
        case UInt8(ascii: "c"): try makeName(module: line(), name: line())
        case 0x93: try stackGlobal()
        case UInt8(ascii: "Q"): try persistent()
        case UInt8(ascii: "R"): try reduce()
        case UInt8(ascii: "b"): try build()
        default:
            if try !remember(code) { try scalar(code) }
        }
        return true
    }

    /// Runs an opcode that writes the memo or reads it; the result is false for other opcodes.
    private mutating func remember(_ code: UInt8) throws(PickleFault) -> Bool {
        switch code {
        case UInt8(ascii: "q"): try put(Int(byte()))
        case UInt8(ascii: "r"): try put(count(width: 4))
        case 0x94: try put(memo.count)
        case UInt8(ascii: "h"): try get(Int(byte()))
        case UInt8(ascii: "j"): try get(count(width: 4))
        default: return false
        }
        return true
    }

    /// Runs an opcode that pushes a number, a text or a constant.
    private mutating func scalar(_ code: UInt8) throws(PickleFault) {
        switch code {
        case UInt8(ascii: "N"): try push(.none)
        case 0x88: try push(.bool(true))
        case 0x89: try push(.bool(false))
        case UInt8(ascii: "J"): try push(.int(Int64(Int32(truncatingIfNeeded: unsigned(width: 4)))))
        case UInt8(ascii: "K"): try push(.int(Int64(byte())))
        case UInt8(ascii: "M"): try push(.int(Int64(unsigned(width: 2))))
        case 0x8a: try push(long(Int(byte())))
        case UInt8(ascii: "G"):
            _ = try take(8)
            try push(.inert)
        case 0x8c: try push(text(Int(byte())))
        case UInt8(ascii: "X"): try push(text(count(width: 4)))
        case 0x8d: try push(text(count(width: 8)))
        case UInt8(ascii: "C"):
            // These bytes are the value of a numpy scalar.
            _ = try take(Int(byte()))
            try push(.inert)
        default:
            let digits = String(code, radix: 16)
            throw PickleFault("a checkpoint does not use opcode 0x\(digits.count == 1 ? "0" : "")\(digits)")
        }
    }

    // MARK: bytes

    private mutating func take(_ count: Int) throws(PickleFault) -> ArraySlice<UInt8> {
        guard count <= bytes.count - position else { throw PickleFault("it ends in the middle") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    private mutating func byte() throws(PickleFault) -> UInt8 {
        guard position < bytes.count else { throw PickleFault("it ends in the middle") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func unsigned(width: Int) throws(PickleFault) -> UInt64 {
        try take(width).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    /// Reads a length or an index.
    private mutating func count(width: Int) throws(PickleFault) -> Int {
        guard let count = Int(exactly: try unsigned(width: width)) else { throw PickleFault("a length is too large") }
        return count
    }

    private mutating func text(_ count: Int) throws(PickleFault) -> PickleValue {
        .text(String(decoding: try take(count), as: UTF8.self))
    }

    /// Reads a two's complement number; a number beyond 8 bytes cannot be the size of a tensor.
    private mutating func long(_ count: Int) throws(PickleFault) -> PickleValue {
        let digits = try take(count)
        guard count <= 8 else { return .inert }
        let value = digits.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let unused = UInt64((8 - count) * 8)
        return .int(count == 0 ? 0 : Int64(bitPattern: value << unused) >> Int64(unused))
    }

    private mutating func line() throws(PickleFault) -> String {
        let rest = bytes[position...].prefix(Self.longestName + 1)
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { throw PickleFault("a name is too long") }
        defer { position = end + 1 }
        return String(decoding: bytes[position..<end], as: UTF8.self)
    }

    private mutating func protocolNumber() throws(PickleFault) {
        let number = try byte()
        guard (2...5).contains(number) else {
            throw PickleFault("protocol \(number) is not supported; 2 to 5 are")
        }
    }

    // MARK: stack and memo

    private mutating func push(_ value: PickleValue) throws(PickleFault) {
        guard stack.count < Self.deepestStack else {
            throw PickleFault("more than \(Self.deepestStack) values at once")
        }
        stack.append(value)
    }

    private mutating func pop() throws(PickleFault) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
            throw PickleFault("it takes a value from an empty stack")
        }
        return value
    }

    private mutating func popLast(_ count: Int) throws(PickleFault) -> [PickleValue] {
        guard stack.count - (marks.last ?? 0) >= count else {
            throw PickleFault("it takes a value from an empty stack")
        }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popToMark() throws(PickleFault) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw PickleFault("it returns to a mark that does not exist") }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private mutating func make(_ object: PickleObject) throws(PickleFault) {
        guard objects.count < Self.mostObjects else { throw PickleFault("more than \(Self.mostObjects) objects") }
        objects.append(object)
        try push(.object(objects.count - 1))
    }

    private mutating func makeTuple(_ count: Int) throws(PickleFault) { try make(.tuple(popLast(count))) }

    private mutating func put(_ index: Int) throws(PickleFault) {
        guard index < Self.mostMemo else { throw PickleFault("more than \(Self.mostMemo) values in the memo") }
        guard stack.count > marks.last ?? 0, let top = stack.last else {
            throw PickleFault("it takes a value from an empty stack")
        }
        memo[index] = top
    }

    private mutating func get(_ index: Int) throws(PickleFault) {
        guard let value = memo[index] else { throw PickleFault("the memo does not have a value \(index)") }
        try push(value)
    }

    // MARK: containers

    /// The index of the object on top of the stack, which stays there.
    private func top() throws(PickleFault) -> Int {
        guard stack.count > marks.last ?? 0, case .object(let index) = stack.last else {
            throw PickleFault("a value that is not a container stands where a container should")
        }
        return index
    }

    private mutating func append(_ values: [PickleValue]) throws(PickleFault) {
        let index = try top()
        guard case .list(var list) = objects[index] else {
            throw PickleFault("it appends to an object that is not a list")
        }
        // A second reference to the list would cause a copy for every value.
        objects[index] = .list([])
        list.append(contentsOf: values)
        objects[index] = .list(list)
    }

    private mutating func set(_ values: [PickleValue]) throws(PickleFault) {
        let index = try top()
        guard case .dictionary(var entries) = objects[index] else {
            throw PickleFault("it sets keys of an object that is not a dictionary")
        }
        guard values.count.isMultiple(of: 2) else { throw PickleFault("a key does not have a value") }
        objects[index] = .dictionary([])
        for place in stride(from: 0, to: values.count, by: 2) {
            entries.append((key: values[place], value: values[place + 1]))
        }
        objects[index] = .dictionary(entries)
    }

    // MARK: names

    private mutating func makeName(module: String, name: String) throws(PickleFault) {
        guard let known = PickleName(module: module, name: name) else {
            throw PickleFault("a name is not allowed", name: Self.printable("\(module).\(name)"))
        }
        try make(.name(known))
    }

    private static func printable(_ name: String) -> String { String(name.quoted.dropFirst().dropLast()) }

    private mutating func stackGlobal() throws(PickleFault) {
        let words = try popLast(2)
        guard case .text(let module) = words[0], case .text(let name) = words[1] else {
            throw PickleFault("a name is not a text")
        }
        guard module.utf8.count <= Self.longestName, name.utf8.count <= Self.longestName else {
            throw PickleFault("a name is too long")
        }
        try makeName(module: module, name: name)
    }

    private func name(_ value: PickleValue) -> PickleName? {
        guard case .object(let index) = value, case .name(let name) = objects[index] else { return nil }
        return name
    }

    private func tuple(_ value: PickleValue) -> [PickleValue]? {
        guard case .object(let index) = value, case .tuple(let values) = objects[index] else { return nil }
        return values
    }

    /// Reads a storage, `("storage", type, key, location, count)`.
    ///
    /// The location, such as `cuda:0`, does not matter here.
    private mutating func persistent() throws(PickleFault) {
        guard let words = tuple(try pop()), words.count == 5, words[0] == .text("storage"),
            case .storage(let type) = name(words[1]), case .text(let key) = words[2], case .int(let count) = words[4]
        else { throw PickleFault("a persistent name is not a storage") }
        let (bytes, overflows) = count.multipliedReportingOverflow(by: Int64(type.width))
        guard count >= 0, !overflows, bytes <= Int64(Int.max), key.utf8.count <= Self.longestName else {
            throw PickleFault("a storage has an impossible size")
        }
        let storage = PickleStorage(type: type, key: key, count: Int(count))
        guard storages[key] ?? storage == storage else { throw PickleFault("a storage has two types or sizes") }
        storages[key] = storage
        try make(.storage(storage))
    }

    private mutating func reduce() throws(PickleFault) {
        let call = try popLast(2)
        guard let name = name(call[0]), let arguments = tuple(call[1]) else {
            throw PickleFault("it calls something that is not a name")
        }
        switch name {
        case .orderedDictionary:
            guard arguments.isEmpty else { throw PickleFault("an OrderedDict is created from arguments") }
            try make(.dictionary([]))
        case .rebuildTensor: try make(.tensor(tensor(arguments)))
        case .rebuildParameter:
            guard let data = arguments.first, case .object(let index) = data, case .tensor = objects[index],
                (2...3).contains(arguments.count)
            else { throw PickleFault("a parameter is not a tensor") }
            try push(data)
        case .inert: try push(.inert)
        case .storage: throw PickleFault("a storage is created from arguments")
        }
    }

    /// Reads a tensor: (storage, offset, size, strides, requires_grad, hooks), and metadata in
    /// newer files.
    private func tensor(_ arguments: [PickleValue]) throws(PickleFault) -> PickleTensor {
        guard (6...7).contains(arguments.count), case .object(let index) = arguments[0],
            case .storage(let storage) = objects[index], case .int(let offset) = arguments[1],
            let shape = integers(arguments[2]), let strides = integers(arguments[3])
        else { throw PickleFault("a tensor is created from other arguments than a tensor takes") }
        return try PickleTensor(storage: storage, offset: offset, shape: shape, strides: strides)
    }

    private func integers(_ value: PickleValue) -> [Int64]? {
        guard let values = tuple(value) else { return nil }
        var integers: [Int64] = []
        for value in values {
            guard case .int(let integer) = value else { return nil }
            integers.append(integer)
        }
        return integers
    }

    /// Drops the state of an OrderedDict or of a numpy type.
    ///
    /// The OrderedDict of a state_dict has the versions of its modules as its state.
    private mutating func build() throws(PickleFault) {
        _ = try pop()
        switch stack.last {
        case .inert where stack.count > marks.last ?? 0: return
        default:
            guard case .dictionary = objects[try top()] else {
                throw PickleFault("it sets the state of an object that is not an OrderedDict")
            }
        }
    }
}
