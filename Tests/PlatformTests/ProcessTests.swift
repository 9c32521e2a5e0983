// SPDX-License-Identifier: Apache-2.0

import Foundation
import Platform
import Testing

@Suite struct ProcessTests {
    private func output(of child: ChildProcess) throws -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        let end = MonotonicClock.now() + .seconds(20)
        while MonotonicClock.now() < end {
            var entries = [PollEntry(child.output.number, reading: true)]
            Polling.wait(&entries, atMost: .seconds(1))
            switch try buffer.withUnsafeMutableBytes({ try child.output.read(into: $0) }) {
            case .bytes(let count): text += buffer[..<count]
            case .end: return String(decoding: text, as: UTF8.self)
            case .wouldBlock: continue
            }
        }
        return "the child did not end"
    }

    @Test func `a child has its arguments, its environment and only three descriptors`() throws {
        // The shell itself holds the folder open while it lists the names, but not any more when it looks at them.
        let script = "echo $0 $WORD; cd /proc/$$/fd; for number in *; do if [ -L $number ]; then echo $number; fi; done"
        let child = try ChildProcess(
            executable: "/bin/sh", arguments: ["-c", script, "first"], environment: ["WORD": "second"], niceness: 10)
        let lines = try output(of: child).split(separator: "\n")
        #expect(lines == ["first second", "0", "1", "2"])
    }

    @Test func `a child that ends tells its code, a killed one its signal`() throws {
        let child = try ChildProcess(executable: "/bin/sh", arguments: ["-c", "exit 3"], environment: [:], niceness: 0)
        _ = try output(of: child)
        // The output closes a moment before the process has ended.
        usleep(200_000)
        #expect(child.hasHungUp)
        #expect(child.kill() == .exited(3))
        #expect(child.kill() == .exited(3))
        let sleeper = try ChildProcess(executable: "/bin/sleep", arguments: ["60"], environment: [:], niceness: 0)
        #expect(!sleeper.hasHungUp)
        #expect(sleeper.kill() == .signalled(SIGKILL))
    }

    @Test func `a program that is not there is an error that says what to do`() {
        #expect { try ChildProcess(executable: "/no/such", arguments: [], environment: [:], niceness: 0) } throws: {
            "\($0)"
                == "could not start /no/such: No such file or directory; check that the file is there and may be executed"
        }
    }

    @Test func `the monotonic clock moves forward`() {
        let start = MonotonicClock.now()
        #expect(MonotonicClock.measure { usleep(2_000) } >= .milliseconds(2))
        #expect(MonotonicClock.now() - start >= .milliseconds(2))
    }

    @Test func `a timed wait without a wake-up ends in time`() {
        let condition = MonotonicCondition()
        let start = MonotonicClock.now()
        #expect(condition.withLock { !condition.wait(timeout: .milliseconds(20)) })
        #expect(MonotonicClock.now() - start >= .milliseconds(20))
        #expect(MonotonicClock.now() - start < .seconds(10))
    }

    @Test func `usage is parsed whatever the program is called`() throws {
        let stat = Array("42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 5 0 0".utf8)
        let usage = try #require(ProcessUsage(statm: Array("900 25 10 1 0 90 0\n".utf8), stat: stat))
        #expect(usage.residentMemory == 25 * Int(sysconf(Int32(_SC_PAGESIZE))))
        #expect(usage.processorTime == .milliseconds(200 * 1000 / Int(sysconf(Int32(_SC_CLK_TCK)))))
        #expect(ProcessUsage(statm: [], stat: stat) == nil)
        #expect(ProcessUsage(statm: Array("900 25".utf8), stat: Array("42 (x".utf8)) == nil)
    }

    @Test func `the usage of this process is plausible`() throws {
        let usage = try #require(ProcessUsage(processID: ProcessInfo.processInfo.processIdentifier))
        #expect(usage.residentMemory > 1 << 20)
        let resident = ProcessUsage.residentMemory(processID: ProcessInfo.processInfo.processIdentifier)
        #expect(try #require(resident) > 1 << 20)
        #expect(ProcessUsage(processID: 0) == nil)
    }
}
