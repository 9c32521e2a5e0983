// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A lock with a condition; timed waits use the monotonic clock.
///
/// `NSCondition` waits until a wall-clock date: a clock that is set back by a year would hold its waiters for a year.
// `@unchecked`: the two pthread objects live at fixed addresses until deinit and are made for use by many threads.
public final class MonotonicCondition: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` under the lock.
    ///
    /// Only `body` may call ``wait(timeout:)``.
    public func withLock<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Releases the lock until another thread calls ``wakeAll()``, then takes it again.
    ///
    /// - Parameter timeout: `nil` waits for ever.
    /// - Returns: `false` if `timeout` has passed.
    public func wait(timeout: Duration?) -> Bool {
        guard let timeout else {
            pthread_cond_wait(condition, mutex)
            return true
        }
        let end = (MonotonicClock.now() + timeout).components
        var deadline = timespec(tv_sec: Int(end.seconds), tv_nsec: Int(end.attoseconds / 1_000_000_000))
        return pthread_cond_timedwait(condition, mutex, &deadline) != ETIMEDOUT
    }

    /// Wakes every waiting thread.
    public func wakeAll() { pthread_cond_broadcast(condition) }
}
