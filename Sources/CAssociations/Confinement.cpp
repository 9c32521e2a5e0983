// SPDX-License-Identifier: Apache-2.0
//
// What a receiver and a sender give up before they read the first byte of a peer: privileges, core files, memory without
// end, files by path (Landlock), and system calls that they do not need (seccomp).
//
// PR_SET_PDEATHSIG is not among the measures: its signal comes when the thread that started the process ends, and not
// the node. The process ends because the node's end of the channel closes.
#include "CAssociations.h"

#include "CDCMTKDataSet.h"

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcdicent.h"
#include "dcmtk/dcmdata/dcdict.h"
#include "dcmtk/dcmdata/dcvr.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

namespace {

// Room for a request of 1 MiB, a long report of Storage Commitment, TLS, and the buffers of one association.
constexpr rlim_t memoryBeyondStart = 192u << 20;

// The elements of Storage Commitment (PS3.4 tables J.3-1 and J.3-2), whose VRs a receiver needs.
constexpr struct {
    uint16_t element;
    DcmEVR vr;
    const char *keyword;
} ofCommitment[] = {
    {0x1150, EVR_UI, "ReferencedSOPClassUID"}, {0x1155, EVR_UI, "ReferencedSOPInstanceUID"},
    {0x1195, EVR_UI, "TransactionUID"},        {0x1197, EVR_US, "FailureReason"},
    {0x1198, EVR_SQ, "FailedSOPSequence"},     {0x1199, EVR_SQ, "ReferencedSOPSequence"},
};

// Gives a receiver its part of the dictionary. Reading the whole one would nearly double the time of its start.
void loadDictionaryOfCommitment() {
    setenv("DCMDICTPATH", "/dev/null", 1);
    DcmDataDictionary &dictionary = dcmDataDict.wrlock();
    for (const auto &entry : ofCommitment)
        dictionary.addEntry(new DcmDictEntry(
            0x0008, entry.element, entry.vr, entry.keyword, 1, 1, nullptr, OFFalse, nullptr));
    dcmDataDict.wrunlock();
}

// Reads what these processes read from files, because they cannot open any later.
void readFiles(cassociations_role role) {
    cdcmtk_initialize();
    if (role == CASSOCIATIONS_RECEIVER) {
        loadDictionaryOfCommitment();
    } else {
        dcmDataDict.isDictionaryLoaded();
    }
    OPENSSL_init_ssl(0, nullptr);
    EVP_MD_free(EVP_MD_fetch(nullptr, "SHA256", nullptr));
}

// Limits the private memory that the process can still take (RLIMIT_DATA counts mappings, too).
bool limitMemory() {
    FILE *file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr) return false;
    unsigned long data = 0;
    const int count = std::fscanf(file, "%*u %*u %*u %*u %*u %lu", &data);
    std::fclose(file);
    if (count != 1) return false;
    const rlim_t most = data * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + memoryBeyondStart;
    const rlimit limit = {most, most};
    return setrlimit(RLIMIT_DATA, &limit) == 0;
}

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
    const bool isTaken = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return isTaken;
#else
    return false;
#endif
}

#if defined(__x86_64__)
constexpr uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t architecture = 0;
#endif

// System calls that both roles need: descriptors that are open, memory, time, signals, locks and the end. The numbers
// that an architecture lacks are left out.
constexpr int allowed[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_lseek, SYS_close, SYS_fstat, SYS_fcntl,
    SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_sendmsg, SYS_ppoll, SYS_shutdown, SYS_getpeername, SYS_getsockname,
    SYS_getsockopt, SYS_setsockopt,
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise,
    SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall,
    SYS_getpid, SYS_gettid, SYS_futex, SYS_sched_yield, SYS_exit, SYS_exit_group,
    // A thread that a numerical library has started may still be at its first calls.
    SYS_set_robust_list, SYS_rseq,
#ifdef SYS_poll
    SYS_poll, SYS_time,
#endif
};

// DCMTK makes a connection of its own, which the node's connection replaces.
constexpr int allowedToSenders[] = {SYS_bind, SYS_listen, SYS_connect, SYS_dup3};

// Calls that fail instead of ending the process, because libraries go on without the file or the number.
constexpr int failing[] = {
    SYS_openat, SYS_statx, SYS_readlinkat, SYS_faccessat, SYS_getdents64, SYS_ioctl, SYS_uname,
    SYS_prlimit64, SYS_sysinfo, SYS_sched_getaffinity, SYS_prctl, SYS_mbind,
#ifdef SYS_open
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getrlimit,
#endif
};

constexpr uint32_t fails = SECCOMP_RET_ERRNO | EACCES;

// A filter of system calls (BPF), which is built from its first instruction on.
class Filter {
public:
    Filter() {
        load(offsetof(seccomp_data, arch));
        unless(architecture, SECCOMP_RET_KILL_PROCESS);
        load(offsetof(seccomp_data, nr));
    }

    void answer(int call, uint32_t action) {
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1);
        add(BPF_RET | BPF_K, action, 0, 0);
    }

    // Allows a call if the low half of an argument, masked, equals a value.
    void allow(
        int call, unsigned argument, uint32_t mask, uint32_t value, uint32_t otherwise = SECCOMP_RET_KILL_PROCESS) {
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 5);
        load(static_cast<uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(uint64_t)));
        add(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
        add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
        add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
        add(BPF_RET | BPF_K, otherwise, 0, 0);
    }

    // Installs the filter on every thread. Other calls end the process.
    bool install() {
        add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
        const sock_fprog program = {static_cast<unsigned short>(instructions_.size()), instructions_.data()};
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
    }

private:
    void load(uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0); }
    void unless(uint32_t value, uint32_t action) {
        add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
        add(BPF_RET | BPF_K, action, 0, 0);
    }
    void add(uint16_t code, uint32_t value, uint8_t ifTrue, uint8_t ifFalse) {
        instructions_.push_back({code, ifTrue, ifFalse, value});
    }

    std::vector<sock_filter> instructions_;
};

bool giveUpSystemCalls(cassociations_role role) {
    if (architecture == 0) return false;
    Filter filter;
    for (const int call : allowed) filter.answer(call, SECCOMP_RET_ALLOW);
    // Memory that was written is never run.
    filter.allow(SYS_mmap, 2, PROT_EXEC, 0);
    filter.allow(SYS_mprotect, 2, PROT_EXEC, 0);
    // The process may end itself (abort), and no other one.
    filter.allow(SYS_tgkill, 0, UINT32_MAX, static_cast<uint32_t>(getpid()));
    // The C library asks for the size of a descriptor with an empty path.
    filter.allow(SYS_newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH, fails);
    if (role == CASSOCIATIONS_SENDER) {
        for (const int call : allowedToSenders) filter.answer(call, SECCOMP_RET_ALLOW);
        filter.allow(SYS_socket, 0, UINT32_MAX, AF_INET);
    }
    for (const int call : failing) filter.answer(call, fails);
    return filter.install();
}

} // namespace

extern "C" int cassociations_confine(int channel, cassociations_role role) {
    readFiles(role);
    const rlimit none = {0, 0};
    int taken = 0;
    taken += prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    taken += prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
    taken += setrlimit(RLIMIT_CORE, &none) == 0;
    taken += limitMemory();
    // Standard output and error stay, so that no later descriptor takes their numbers.
    const unsigned first = static_cast<unsigned>(channel > STDERR_FILENO ? channel : STDERR_FILENO) + 1;
    taken += syscall(SYS_close_range, first, UINT32_MAX, 0) == 0;
    taken += giveUpFiles();
    taken += giveUpSystemCalls(role);
    return taken;
}
