// SPDX-License-Identifier: Apache-2.0
#include "CAssociations.h"

#include "CDCMTKDataSet.h"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcdict.h"

#include <cstdint>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

namespace {

// Gives up every right to files by path. Descriptors that are open, or that arrive over the channel, go on working.
bool giveUpFiles() {
#if defined(LANDLOCK_ACCESS_FS_EXECUTE) && defined(SYS_landlock_create_ruleset)
    landlock_ruleset_attr rules = {};
    rules.handled_access_fs =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE
        | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE
        | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG
        | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK
        | LANDLOCK_ACCESS_FS_MAKE_SYM;
    const int ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0));
    if (ruleset < 0) return false;
    const bool taken = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return taken;
#else
    return false;
#endif
}

} // namespace

extern "C" int cassociations_confine(void) {
    // DCMTK reads its dictionary from a file at the first use.
    cdcmtk_initialize();
    dcmDataDict.isDictionaryLoaded();
    const rlimit none = {0, 0};
    int taken = 0;
    taken += prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    taken += setrlimit(RLIMIT_CORE, &none) == 0;
    taken += giveUpFiles();
    return taken;
}
