// SPDX-License-Identifier: Apache-2.0

/// What a pickle can be made of here. Containers are named by their place in ``Pickle/objects``, so that one that holds
/// itself is no cycle of references, and deep nesting is no deep recursion.
enum PickleValue: Equatable {
    case none
    case bool(Bool)
    case int(Int64)
    case text(String)
    /// A number, or something of numpy's, that no tensor is made of.
    case inert
    case object(Int)
}

enum PickleObject {
    /// In the order of their setting; of equal keys the last one counts.
    case dictionary([(key: PickleValue, value: PickleValue)])
    case list([PickleValue])
    case tuple([PickleValue])
    case name(PickleName)
    case storage(PickleStorage)
    case tensor(PickleTensor)
}

/// The names that a checkpoint may use.
enum PickleName: Equatable {
    case orderedDictionary
    case rebuildTensor
    case rebuildParameter
    case storage(NumberType)
    /// numpy's scalars and what they are made of: called, they give ``PickleValue/inert``.
    case inert

    init?(module: String, name: String) {
        switch (module, name) {
        case ("collections", "OrderedDict"): self = .orderedDictionary
        case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
        case ("torch", _):
            guard name.hasSuffix("Storage"), let type = NumberType(rawValue: String(name.dropLast(7))) else {
                return nil
            }
            self = .storage(type)
        case ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"), ("numpy", "dtype"),
            ("_codecs", "encode"):
            self = .inert
        default: return nil
        }
    }
}

/// A run of numbers in one record of the archive.
struct PickleStorage: Equatable {
    var type: NumberType
    /// Of the record `data/<key>`.
    var key: String
    /// How many numbers.
    var count: Int
}

/// A view of a storage.
struct PickleTensor: Equatable {
    var storage: PickleStorage
    /// In numbers, of the first one.
    var offset: Int
    var shape: [Int]
    /// In numbers.
    var strides: [Int]

    /// - Throws: `PickleFault` unless every number of the view lies in the storage.
    init(storage: PickleStorage, offset: Int64, shape: [Int64], strides: [Int64]) throws(PickleFault) {
        guard shape.count == strides.count, shape.count <= 8 else { throw PickleFault("a tensor of more than 8 axes") }
        guard offset >= 0, shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
            throw PickleFault("a tensor of negative extent")
        }
        var count: Int64 = 1
        var last = offset
        var overflows = false
        for (extent, stride) in zip(shape, strides) {
            let (product, tooMany) = count.multipliedReportingOverflow(by: extent)
            let (reach, tooFar) = max(0, extent - 1).multipliedReportingOverflow(by: stride)
            let (sum, beyond) = last.addingReportingOverflow(reach)
            (count, last) = (product, sum)
            overflows = overflows || tooMany || tooFar || beyond
        }
        guard !overflows, count == 0 || last < Int64(storage.count) else {
            throw PickleFault("a tensor that reaches beyond its storage")
        }
        // A view that shows a number twice could claim any size.
        guard count <= Int64(storage.count) else { throw PickleFault("a tensor of more numbers than its storage has") }
        self.storage = storage
        self.offset = Int(offset)
        self.shape = shape.map { Int($0) }
        self.strides = strides.map { Int($0) }
    }
}

/// What is wrong at the current place of a pickle.
struct PickleFault: Error {
    var reason: String
    /// The name that was refused.
    var name: String?

    init(_ reason: String, name: String? = nil) {
        self.reason = reason
        self.name = name
    }
}
