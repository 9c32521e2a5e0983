// SPDX-License-Identifier: Apache-2.0

/// One step of a compiled pattern. A jump's target is an index into the program.
enum PatternInstruction: Sendable {
    case take(ScalarSet)
    case assert(PatternAssertion)
    case jump(Int)
    case split(Int, Int)
    case match
}

/// Turns syntax into a program; a counted repetition is written out, so the size is bounded while it grows.
struct PatternCompiler {
    private var program: [PatternInstruction] = []
    /// Counts what was compiled too: repeated groups with nothing in them emit nothing, and could go on for ever.
    private var steps = 0

    private static let tooLarge = "repetitions make the pattern too large to search quickly"

    mutating func compile(_ syntax: PatternSyntax) throws(PatternError) {
        try compile(syntax, at: 1)
    }

    func finish() -> [PatternInstruction] { program + [.match] }

    private mutating func emit(_ instruction: PatternInstruction, at position: Int) throws(PatternError) {
        if program.count >= Pattern.maximumProgram {
            throw PatternError(position: position, reason: Self.tooLarge)
        }
        program.append(instruction)
    }

    private mutating func compile(_ syntax: PatternSyntax, at position: Int) throws(PatternError) {
        steps += 1
        if steps > 10 * Pattern.maximumProgram {
            throw PatternError(position: position, reason: Self.tooLarge)
        }
        switch syntax {
        case .empty: break
        case .scalars(let set): try emit(.take(set), at: position)
        case .assertion(let assertion): try emit(.assert(assertion), at: position)
        case .sequence(let parts):
            for part in parts { try compile(part, at: position) }
        case .choice(let options): try choice(options, at: position)
        case .repeated(let inner, let minimum, let maximum, let place):
            for _ in 0..<minimum { try compile(inner, at: place) }
            if let maximum {
                try optional(inner, times: maximum - minimum, at: place)
            } else {
                try loop(inner, at: place)
            }
        }
    }

    private mutating func choice(_ options: [PatternSyntax], at position: Int) throws(PatternError) {
        var ends: [Int] = []
        for option in options.dropLast() {
            let split = program.count
            try emit(.split(split + 1, 0), at: position)
            try compile(option, at: position)
            ends.append(program.count)
            try emit(.jump(0), at: position)
            program[split] = .split(split + 1, program.count)
        }
        if let last = options.last { try compile(last, at: position) }
        for end in ends { program[end] = .jump(program.count) }
    }

    private mutating func loop(_ inner: PatternSyntax, at position: Int) throws(PatternError) {
        let split = program.count
        try emit(.split(split + 1, 0), at: position)
        try compile(inner, at: position)
        try emit(.jump(split), at: position)
        program[split] = .split(split + 1, program.count)
    }

    private mutating func optional(_ inner: PatternSyntax, times: Int, at position: Int) throws(PatternError) {
        var splits: [Int] = []
        for _ in 0..<times {
            splits.append(program.count)
            try emit(.split(program.count + 1, 0), at: position)
            try compile(inner, at: position)
        }
        for split in splits { program[split] = .split(split + 1, program.count) }
    }
}
