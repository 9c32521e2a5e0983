// SPDX-License-Identifier: Apache-2.0

/// Runs a program over a text, all alternatives in step: at most program x text steps.
struct PatternSearch {
    let program: [PatternInstruction]
    let text: [Unicode.Scalar]

    func run() -> Bool {
        var waiting: [Int] = []
        var next: [Int] = []
        var marks = [Int](repeating: -1, count: program.count)
        var stack: [Int] = []
        for place in 0...text.count {
            // A match may begin at every place: the program's start joins those already under way.
            if follow(0, at: place, into: &waiting, marks: &marks, stack: &stack) { return true }
            guard place < text.count else { break }
            next.removeAll(keepingCapacity: true)
            for index in waiting {
                guard case .take(let set) = program[index], set.contains(text[place]) else { continue }
                if follow(index + 1, at: place + 1, into: &next, marks: &marks, stack: &stack) { return true }
            }
            swap(&waiting, &next)
        }
        return false
    }

    /// Follows everything that takes no character from `start`, and adds the takes reached to `list`. `marks` remembers
    /// at which place an instruction was last visited, so an empty loop ends and nothing is visited twice.
    private func follow(
        _ start: Int, at place: Int, into list: inout [Int], marks: inout [Int], stack: inout [Int]
    ) -> Bool {
        stack.append(start)
        while let index = stack.popLast() {
            if marks[index] == place { continue }
            marks[index] = place
            switch program[index] {
            case .match:
                stack.removeAll(keepingCapacity: true)
                return true
            case .take: list.append(index)
            case .jump(let target): stack.append(target)
            case .split(let first, let second):
                stack.append(second)
                stack.append(first)
            case .assert(let assertion):
                if holds(assertion, at: place) { stack.append(index + 1) }
            }
        }
        return false
    }

    private func holds(_ assertion: PatternAssertion, at place: Int) -> Bool {
        switch assertion {
        case .start: return place == 0
        case .end: return place == text.count
        case .wordBoundary: return isBoundary(place)
        case .notWordBoundary: return !isBoundary(place)
        }
    }

    private func isBoundary(_ place: Int) -> Bool {
        let before = place > 0 && text[place - 1].isWord
        let after = place < text.count && text[place].isWord
        return before != after
    }
}
