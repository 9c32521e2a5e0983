// SPDX-License-Identifier: Apache-2.0
//
// Convolutions on oneDNN, channels last. With bf16, the input is rounded into a buffer that the convolution owns;
// output, bias and sums stay fp32.

#include <dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"
#include "Parallel.h"

#define MAX_AXES 3

struct ck_convolution {
    ck_convolution_shape shape;
    ck_precision precision;
    float *weight, *bias;
    dnnl_stream_t stream;
    // The following members belong to the size of the last run.
    int64_t batch, size[MAX_AXES];
    dnnl_primitive_t primitive;
    dnnl_memory_t source, packed_weight, bias_memory, target;
    void *packed;
    uint16_t *rounded;
    int64_t input_count;
    const char *implementation;
};

static dnnl_engine_t engine;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static ck_status status_of(dnnl_status_t status) {
    switch (status) {
        case dnnl_success: return ck_ok;
        case dnnl_out_of_memory: return ck_out_of_memory;
        case dnnl_unimplemented: return ck_unsupported;
        case dnnl_invalid_arguments: return ck_bad_argument;
        default: return ck_backend_failed;
    }
}

static void start_engine(void) {
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

static int64_t kernel_volume(const ck_convolution_shape *shape) {
    int64_t volume = 1;
    for (int axis = 0; axis < shape->axes; axis++) volume *= shape->kernel;
    return volume;
}

ck_status ck_convolution_create(const ck_convolution_shape *shape, const float *weight, const float *bias,
                                ck_precision precision, ck_convolution **convolution) {
    *convolution = NULL;
    if (ck_threads() == 0 || shape->axes < 2 || shape->axes > MAX_AXES || shape->inputs < 1 || shape->outputs < 1 ||
        shape->kernel < 1 || shape->stride < 1 || shape->padding < 0)
        return ck_bad_argument;
    if (precision == ck_bf16 && !ck_has_bf16()) return ck_unsupported;
    pthread_once(&engine_once, start_engine);
    if (engine == NULL) return ck_backend_failed;
    ck_convolution *made = calloc(1, sizeof *made);
    if (made == NULL) return ck_out_of_memory;
    if (dnnl_stream_create(&made->stream, engine, dnnl_stream_default_flags) != dnnl_success) {
        free(made);
        return ck_backend_failed;
    }
    made->shape = *shape;
    made->precision = precision;
    made->implementation = "";
    size_t weights = (size_t)(shape->outputs * (int64_t)shape->inputs * kernel_volume(shape));
    made->weight = malloc(weights * sizeof(float));
    made->bias = calloc((size_t)shape->outputs, sizeof(float));
    if (made->weight == NULL || made->bias == NULL) {
        ck_convolution_destroy(made);
        return ck_out_of_memory;
    }
    memcpy(made->weight, weight, weights * sizeof(float));
    if (bias != NULL) memcpy(made->bias, bias, (size_t)shape->outputs * sizeof(float));
    *convolution = made;
    return ck_ok;
}

static void forget_size(ck_convolution *convolution) {
    if (convolution->primitive) dnnl_primitive_destroy(convolution->primitive);
    dnnl_memory_t *memories[] = {&convolution->source, &convolution->packed_weight, &convolution->bias_memory,
                                 &convolution->target};
    for (size_t k = 0; k < sizeof memories / sizeof *memories; k++) {
        if (*memories[k]) dnnl_memory_destroy(*memories[k]);
        *memories[k] = NULL;
    }
    free(convolution->packed);
    free(convolution->rounded);
    convolution->primitive = NULL;
    convolution->packed = NULL;
    convolution->rounded = NULL;
    convolution->batch = 0;
}

void ck_convolution_destroy(ck_convolution *convolution) {
    if (convolution == NULL) return;
    forget_size(convolution);
    if (convolution->stream) dnnl_stream_destroy(convolution->stream);
    free(convolution->weight);
    free(convolution->bias);
    free(convolution);
}

const char *ck_convolution_implementation(const ck_convolution *convolution) { return convolution->implementation; }

static dnnl_status_t pack_weights(ck_convolution *convolution, const dnnl_memory_desc_t *plain,
                                  const dnnl_memory_desc_t *wanted) {
    dnnl_memory_t given = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    convolution->packed = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (convolution->packed == NULL) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_memory_create(&convolution->packed_weight, wanted, engine, convolution->packed);
    if (status == dnnl_success) status = dnnl_memory_create(&given, plain, engine, convolution->weight);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&description, plain, engine, wanted, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, description);
    if (status == dnnl_success) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, given}, {DNNL_ARG_TO, convolution->packed_weight}};
        status = dnnl_primitive_execute(reorder, convolution->stream, 2, arguments);
        if (status == dnnl_success) status = dnnl_stream_wait(convolution->stream);
    }
    if (reorder) dnnl_primitive_destroy(reorder);
    if (description) dnnl_primitive_desc_destroy(description);
    if (given) dnnl_memory_destroy(given);
    return status;
}

static dnnl_status_t make_attributes(const ck_convolution_shape *shape, dnnl_primitive_attr_t *attributes) {
    dnnl_post_ops_t steps = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success) status = dnnl_post_ops_create(&steps);
    if (status == dnnl_success && shape->adds) status = dnnl_post_ops_append_sum(steps, 1);
    if (status == dnnl_success && shape->negative_slope != 1)
        status = dnnl_post_ops_append_eltwise(steps, 1, dnnl_eltwise_relu, shape->negative_slope, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, steps);
    if (steps) dnnl_post_ops_destroy(steps);
    return status;
}

// Compiles the convolution for one size and packs the weights in the order that the compiled kernel needs.
static dnnl_status_t prepare(ck_convolution *convolution, int64_t batch, const int64_t *size) {
    const ck_convolution_shape *shape = &convolution->shape;
    int axes = shape->axes, dimensions = axes + 2;
    dnnl_dims_t source = {batch, shape->inputs}, target = {batch, shape->outputs};
    dnnl_dims_t weight = {shape->outputs, shape->inputs}, bias = {shape->outputs}, strides, padding;
    convolution->input_count = batch * shape->inputs;
    for (int axis = 0; axis < axes; axis++) {
        source[2 + axis] = size[axis];
        weight[2 + axis] = shape->kernel;
        target[2 + axis] = (size[axis] + 2 * shape->padding - shape->kernel) / shape->stride + 1;
        strides[axis] = shape->stride;
        padding[axis] = shape->padding;
        convolution->input_count *= size[axis];
    }
    dnnl_data_type_t operand = convolution->precision == ck_bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_format_tag_t channels_last = axes == 2 ? dnnl_nhwc : dnnl_ndhwc;
    dnnl_format_tag_t plain_weight = axes == 2 ? dnnl_oihw : dnnl_oidhw;

    dnnl_memory_desc_t source_form, weight_form, plain_form, bias_form, target_form;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_convolution_desc_t operation;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&source_form, dimensions, source, operand, channels_last);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&weight_form, dimensions, weight, operand, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&plain_form, dimensions, weight, dnnl_f32, plain_weight);
    if (status == dnnl_success) status = dnnl_memory_desc_init_by_tag(&bias_form, 1, bias, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&target_form, dimensions, target, dnnl_f32, channels_last);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct,
                                                    &source_form, &weight_form, &bias_form, &target_form, strides,
                                                    padding, padding);
    if (status == dnnl_success) status = make_attributes(shape, &attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&description, &operation, attributes, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &convolution->implementation);
    if (status == dnnl_success) status = dnnl_primitive_create(&convolution->primitive, description);
    if (status == dnnl_success)
        status = pack_weights(convolution, &plain_form,
                              dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0));
    if (status == dnnl_success && convolution->precision == ck_bf16) {
        convolution->rounded = malloc((size_t)convolution->input_count * sizeof(uint16_t));
        if (convolution->rounded == NULL) status = dnnl_out_of_memory;
    }
    if (status == dnnl_success)
        status = dnnl_memory_create(&convolution->source, &source_form, engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&convolution->bias_memory, &bias_form, engine, convolution->bias);
    if (status == dnnl_success)
        status = dnnl_memory_create(&convolution->target, &target_form, engine, DNNL_MEMORY_NONE);
    if (description) dnnl_primitive_desc_destroy(description);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status;
}

static int fits(const ck_convolution *convolution, int64_t batch, const int64_t *size) {
    if (convolution->primitive == NULL || convolution->batch != batch) return 0;
    for (int axis = 0; axis < convolution->shape.axes; axis++)
        if (convolution->size[axis] != size[axis]) return 0;
    return 1;
}

// Whether oneDNN generated code for the convolution. Its plain loops are a thousand times slower.
static int is_compiled(const ck_convolution *convolution) {
    return strncmp(convolution->implementation, "ref", 3) != 0;
}

ck_status ck_convolution_run(ck_convolution *convolution, int64_t batch, const int64_t *size, const float *input,
                             float *output) {
    const ck_convolution_shape *shape = &convolution->shape;
    if (batch < 1) return ck_bad_argument;
    for (int axis = 0; axis < shape->axes; axis++)
        if (size[axis] + 2 * shape->padding < shape->kernel) return ck_bad_argument;
    ck_use_fixed_threads();
    dnnl_status_t status = dnnl_success;
    if (!fits(convolution, batch, size)) {
        forget_size(convolution);
        status = prepare(convolution, batch, size);
        if (convolution->precision == ck_bf16 && (status == dnnl_unimplemented || !is_compiled(convolution))) {
            // Some shapes do not have a bf16 kernel: on some processors, these are convolutions of one or three
            // channels.
            forget_size(convolution);
            convolution->precision = ck_fp32;
            status = prepare(convolution, batch, size);
        }
        if (status != dnnl_success) {
            forget_size(convolution);
            return status_of(status);
        }
        convolution->batch = batch;
        memcpy(convolution->size, size, (size_t)shape->axes * sizeof *size);
    }
    const void *operand = input;
    if (convolution->precision == ck_bf16) {
        ck_to_bf16(convolution->input_count, input, convolution->rounded);
        operand = convolution->rounded;
    }
    status = dnnl_memory_set_data_handle(convolution->source, (void *)operand);
    if (status == dnnl_success) status = dnnl_memory_set_data_handle(convolution->target, output);
    if (status == dnnl_success) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, convolution->source},
                                       {DNNL_ARG_WEIGHTS, convolution->packed_weight},
                                       {DNNL_ARG_BIAS, convolution->bias_memory},
                                       {DNNL_ARG_DST, convolution->target}};
        status = dnnl_primitive_execute(convolution->primitive, convolution->stream, 4, arguments);
    }
    if (status == dnnl_success) status = dnnl_stream_wait(convolution->stream);
    return status_of(status);
}
