// SPDX-License-Identifier: Apache-2.0

/// A value on the stack of a pickle.
///
/// An object is an index into ``Pickle/objects``. Therefore a container that contains itself is not
/// a cycle of references, and deep nesting is not deep recursion.
enum PickleValue: Equatable {
    case none
    case bool(Bool)
    case int(Int64)
    case text(String)
    /// A number or an object of numpy that is not part of a tensor.
    case inert
    case object(Int)
}

/// An object that values refer to by its index.
enum PickleObject {
    /// Entries in the order in which they were set; if a key repeats, its last entry counts.
    case dictionary([(key: PickleValue, value: PickleValue)])
    case list([PickleValue])
    case tuple([PickleValue])
    case name(PickleName)
    case storage(PickleStorage)
    case tensor(PickleTensor)
}

/// The Python names that a checkpoint may mention.
enum PickleName: Equatable {
    case orderedDictionary
    case rebuildTensor
    case rebuildParameter
    case storage(NumberType)
    /// numpy's scalars and their parts; a call of such a name gives ``PickleValue/inert``.
    case inert

    /// The allowed name `module.name`, or `nil` for any other name.
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

/// A storage: the numbers of one record of the archive.
struct PickleStorage: Equatable {
    var type: NumberType
    /// The key of the record `data/<key>`.
    var key: String
    /// The number of values.
    var count: Int
}

/// A tensor as a view of a storage.
struct PickleTensor: Equatable {
    var storage: PickleStorage
    /// The offset of the first number in the storage, in numbers.
    var offset: Int
    /// The extents of the axes.
    var shape: [Int]
    /// The distance between neighbours along each axis, in numbers.
    var strides: [Int]

    /// Throws `PickleFault` unless every number of the view lies in the storage.
    init(storage: PickleStorage, offset: Int64, shape: [Int64], strides: [Int64]) throws(PickleFault) {
        guard shape.count == strides.count, shape.count <= 8 else {
            throw PickleFault("a tensor has more than 8 axes")
        }
        guard offset >= 0, shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
            throw PickleFault("a tensor has a negative extent, offset or stride")
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
            throw PickleFault("a tensor reaches beyond its storage")
        }
        // A view can show the same number several times, and could therefore claim any size.
        guard count <= Int64(storage.count) else {
            throw PickleFault("a tensor has more numbers than its storage")
        }
        self.storage = storage
        self.offset = Int(offset)
        self.shape = shape.map { Int($0) }
        self.strides = strides.map { Int($0) }
    }
}

/// A fault at the current place of a pickle.
struct PickleFault: Error {
    var reason: String
    /// The refused name, if a name is the reason.
    var name: String?

    init(_ reason: String, name: String? = nil) {
        self.reason = reason
        self.name = name
    }
}
