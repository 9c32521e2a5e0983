// SPDX-License-Identifier: Apache-2.0
//
// The content of a derived object before DCMTK encodes it: items as values, and tables of the attributes of a module.

/// The value of one element to write.
// `Sendable` is declared, because the compiler does not infer it for two types that contain each other.
enum ElementValue: Sendable {
    /// The encoded value in little endian, without padding.
    case bytes([UInt8])
    /// The items of a sequence.
    case items([ItemElements])

    /// A value of length zero: the element is present without a value.
    static let empty = ElementValue.bytes([])

    /// ASCII text; several values are joined by backslashes.
    static func text(_ values: String...) -> ElementValue { .bytes(Array(values.joined(separator: "\\").utf8)) }

    /// Numbers of VR US.
    static func short(_ values: Int...) -> ElementValue {
        .bytes(
            values.flatMap {
                precondition((0...65_535).contains($0), "US holds 16 bits")
                return [UInt8($0 & 0xFF), UInt8($0 >> 8)]
            })
    }

    /// Numbers of VR UL.
    static func long(_ values: Int...) -> ElementValue {
        .bytes(values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } })
    }

    /// A tag of VR AT: group and element, each in little endian.
    static func tag(of attribute: Attribute) -> ElementValue {
        let (group, element) = (attribute.tag >> 16, attribute.tag & 0xFFFF)
        return .bytes([group, element].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    }
}

/// The elements of a data set or of one item of a sequence, not encoded yet.
struct ItemElements: Sendable {
    /// Each attribute once, in any order: DCMTK sorts them.
    var elements: [(attribute: Attribute, value: ElementValue)] = []

    init(_ elements: [(Attribute, ElementValue?)] = []) {
        for (attribute, value) in elements where value != nil { self[attribute] = value }
    }

    /// The value of an attribute.
    ///
    /// A new value replaces an old one, because modules share attributes.
    subscript(attribute: Attribute) -> ElementValue? {
        get { elements.first { $0.attribute == attribute }?.value }
        set {
            elements.removeAll { $0.attribute == attribute }
            if let newValue { elements.append((attribute, newValue)) }
        }
    }
}

/// The type of an attribute in its module (PS3.5 7.4).
///
/// The condition of a type 1C or 2C is part of the row's source, which gives `nil` if the condition does not hold.
enum AttributeType {
    /// Required, with a value.
    case type1
    /// Required with a value if a condition holds.
    case type1C
    /// Required; empty if the value is not known.
    case type2
    /// Required if a condition holds; empty if the value is not known.
    case type2C
    /// Optional.
    case type3
}

/// One row of a module's table.
struct ModuleRow<Context> {
    let attribute: Attribute
    let type: AttributeType
    /// Gives the value, or `nil` if there is none.
    let source: @Sendable (Context) -> ElementValue?

    init(_ attribute: Attribute, _ type: AttributeType, _ source: @escaping @Sendable (Context) -> ElementValue?) {
        self.attribute = attribute
        self.type = type
        self.source = source
    }

    /// Puts the attribute into an item as its type demands.
    func put(_ context: Context, into item: inout ItemElements) {
        let value = source(context)
        switch type {
        case .type1:
            precondition(value != nil, "\(attribute.keyword) is of type 1")
            item[attribute] = value
        case .type2: item[attribute] = value ?? .empty
        case .type1C, .type2C, .type3: if let value { item[attribute] = value }
        }
    }
}
