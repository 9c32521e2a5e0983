// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The environment of the processes that speak DICOM.
enum ProcessEnvironment {
    /// All variables of a process.
    ///
    /// The numerical libraries, which these processes do not use, would start a thread per processor otherwise. A
    /// process that traps ends at once, without a backtrace. DCMTK's dictionary may lie elsewhere than DCMTK was built
    /// for.
    static var variables: [String: String] {
        let fixed = ["OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "SWIFT_BACKTRACE": "enable=no"]
        return ProcessInfo.processInfo.environment.filter { $0.key == "DCMDICTPATH" }.merging(fixed) { $1 }
    }
}
