// SPDX-License-Identifier: Apache-2.0

/// The tensors that a network has: names of the publisher's checkpoint, shapes in PyTorch's order.
///
/// Built from the sizes that a few tensors of a checkpoint show; then every tensor is compared with it.
struct NetworkShapes {
    private(set) var shapes: [String: [Int]] = [:]

    mutating func add(_ name: String, _ shape: [Int]) { shapes[name] = shape }

    /// `name.weight` and `name.bias`, which has the weight's first extent unless `bias` says otherwise.
    mutating func add(layer name: String, _ weight: [Int], bias: Int? = nil) {
        shapes[name + ".weight"] = weight
        shapes[name + ".bias"] = [bias ?? weight[0]]
    }

    /// What is wrong with `found`, each in words: tensors of other shapes, missing, and not of this network.
    func problems(in found: [String: [Int]]) -> [String] {
        var wrong: [String] = []
        var missing: [String] = []
        for (name, shape) in shapes {
            guard let other = found[name] else {
                missing.append("\(name) is missing")
                continue
            }
            if other != shape { wrong.append("\(name) has shape \(other), expected \(shape)") }
        }
        let extra = found.keys.filter { shapes[$0] == nil }.map { "\($0.quoted) does not belong to it" }
        return wrong.sorted() + missing.sorted() + extra.sorted()
    }
}

/// The shapes that a checkpoint has, asked for the sizes of a network.
struct FoundShapes {
    let shapes: [String: [Int]]
    /// As messages name it.
    let network: String

    /// No size of any network is larger, so products of a few of them do not overflow.
    private static let largestExtent = 1 << 16

    /// One extent of a tensor.
    ///
    /// - Throws: `CheckpointError.mismatch` unless the tensor is there with so many axes and a sensible extent.
    func extent(_ name: String, rank: Int, axis: Int) throws(CheckpointError) -> Int {
        guard let shape = shapes[name] else {
            throw .mismatch(network: network, problems: ["\(name) is missing"])
        }
        guard shape.count == rank, (1...Self.largestExtent).contains(shape[axis]) else {
            throw .mismatch(network: network, problems: ["\(name) has shape \(shape), expected \(rank) axes"])
        }
        return shape[axis]
    }

    /// How many there are of `prefix0.`, `prefix1.` and so on, at most 256.
    func count(_ prefix: String) -> Int {
        let numbers = shapes.keys.compactMap { name -> Int? in
            guard name.hasPrefix(prefix) else { return nil }
            let digits = name.dropFirst(prefix.count).prefix { $0 != "." }
            return digits.utf8.count <= 3 ? Int(digits) : nil
        }
        return min(256, max(0, (numbers.max() ?? -1) + 1))
    }

    func check(_ isFine: Bool, _ problem: String) throws(CheckpointError) {
        guard isFine else { throw .mismatch(network: network, problems: [problem]) }
    }
}
