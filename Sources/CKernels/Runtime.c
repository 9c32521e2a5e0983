// SPDX-License-Identifier: Apache-2.0
#include <cblas.h>
#include <dnnl.h>
#include <stdatomic.h>

#include "CKernels.h"
#include "Parallel.h"

// The entry points of libgomp. Through them, the loops here share oneDNN's team of threads, and the compiler does not
// need OpenMP.
extern void omp_set_num_threads(int threads);
extern void omp_set_dynamic(int dynamic);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);

static _Atomic int fixed_threads = 0;

ck_status ck_start(int threads) {
    if (threads < 1 || threads > 256) return ck_bad_argument;
    int none = 0;
    if (!atomic_compare_exchange_strong(&fixed_threads, &none, threads))
        return threads == none ? ck_ok : ck_bad_argument;
    openblas_set_num_threads(1);
    omp_set_dynamic(0);
    ck_use_fixed_threads();
    return ck_ok;
}

void ck_use_fixed_threads(void) { omp_set_num_threads(fixed_threads); }

int ck_threads(void) { return fixed_threads; }

int ck_has_bf16(void) {
    int wanted = dnnl_cpu_isa_avx512_core_bf16;
    int present = dnnl_get_effective_cpu_isa();
    return present != dnnl_cpu_isa_all && (present & wanted) == wanted;
}

typedef struct {
    int64_t count;
    ck_body body;
    void *context;
} job;

static void run_share(void *data) {
    const job *work = data;
    int64_t threads = omp_get_num_threads(), own = omp_get_thread_num();
    int64_t first = work->count * own / threads, last = work->count * (own + 1) / threads;
    if (first < last) work->body(work->context, first, last);
}

void ck_parallel(int64_t count, ck_body body, void *context) {
    if (fixed_threads < 2 || count < 2) {
        if (count > 0) body(context, 0, count);
        return;
    }
    job work = {count, body, context};
    GOMP_parallel(run_share, &work, (unsigned)fixed_threads, 0);
}

void ck_parallel_numbers(int64_t count, int64_t numbers, ck_body body, void *context) {
    if (numbers > ck_few_numbers)
        ck_parallel(count, body, context);
    else if (count > 0)
        body(context, 0, count);
}

typedef struct {
    int64_t count;
    _Atomic int64_t next;
    ck_item item;
    void *context;
} shared_job;

static void take_items(void *data) {
    shared_job *work = data;
    for (int64_t item; (item = atomic_fetch_add_explicit(&work->next, 1, memory_order_relaxed)) < work->count;)
        work->item(work->context, item);
}

void ck_share(int64_t count, ck_item item, void *context) {
    shared_job work = {count, 0, item, context};
    if (fixed_threads < 2 || count < 2)
        take_items(&work);
    else
        GOMP_parallel(take_items, &work, (unsigned)fixed_threads, 0);
}
