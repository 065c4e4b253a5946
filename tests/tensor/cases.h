/* cases.h - every operation in every form that has a gradient, as data.
 *
 * A case is a forward function with the shapes of its inputs. The families of cases (layers, shape,
 * losses, attention, maps) are each linked with two mains: test_gradients.c holds the backward pass
 * to differences of the forward pass, test_twins.c holds the fast kernels to the plain ones. */
#ifndef ASSAY_TESTS_TENSOR_CASES_H
#define ASSAY_TESTS_TENSOR_CASES_H

#include <assay/attention.h>
#include <assay/gradcheck.h>
#include <assay/ops.h>

#define CASE_INPUTS 6

/* What an input is filled with. Perturbations reach 2^-5, so that "away from 0" means that no
 * difference straddles a kink there. */
typedef enum case_fill {
    FILL_NORMAL,      /* standard normal */
    FILL_SMALL,       /* normal of deviation 1/16 */
    FILL_AWAY,        /* of both signs, 0.25 to 1.25 away from 0 */
    FILL_POSITIVE,    /* 0.25 to 1.25 */
    FILL_SIGNED_ROWS, /* 0.25 to 1.25, negated in every other row */
    FILL_FAR          /* of both signs, 2 to 3 away from 0 */
} case_fill;

typedef struct case_input {
    int rank;
    int64_t shape[ASSAY_MAX_RANK];
    case_fill fill;
    bool fixed; /* wants no gradient */
    bool wide;  /* f32 on a bf16 tape, too */
} case_input;

typedef struct op_case {
    char name[160];
    assay_forward forward; /* its user is this case */
    case_input inputs[CASE_INPUTS];
    int input_count;
    int option;           /* of the operation: activation, axis, reduction, variant ... */
    int64_t size[4];      /* more of them: lengths, patch sides ... */
    double number;        /* eps, factor, probability ... */
    const int32_t *ints;  /* ids, targets, lengths ...; NULL: absent */
    const void *settings; /* whatever else the family needs */
    bool training;
    int64_t entries;       /* entries per input that the gradient check perturbs; 0: CASE_ENTRIES */
    double tolerance;      /* of the gradient check; 0: its default */
    double bf16_tolerance; /* of the twins on a bf16 tape; 0: their default */
} op_case;

#define CASE_ENTRIES 12
#define CASE_MOST    512

typedef struct case_list {
    op_case cases[CASE_MOST];
    int count;
} case_list;

/* The family that this executable is linked with. */
void family_cases(case_list *list);

/* A new case of the list, without inputs. */
op_case *case_add(case_list *list, assay_forward forward, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Its next input. Borrowed: the case owns it. */
case_input *case_input_add(op_case *c, case_fill fill, int rank, const int64_t *shape);
#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})
#define RANK_OF(s) ((int)(sizeof(s) / sizeof((s)[0])))
#define INPUT(c, fill, ...)                                                                        \
    case_input_add((c), (fill), RANK_OF(((const int64_t[]){__VA_ARGS__})), SHAPE(__VA_ARGS__))

/* The i32 tensor of a case's integers on the tape. */
assay_tensor *case_ints(assay_tape *tape, int rank, const int64_t *shape, const int32_t *values);

/* Fills `tensor` (f32) from a stream of the given name. */
void case_fill_tensor(assay_tensor *tensor, case_fill fill, const char *name);
/* The leaves of a case, filled; the same numbers every time. Released by case_inputs_free. */
void case_inputs_new(const op_case *c, assay_tensor *inputs[]);
void case_inputs_free(const op_case *c, assay_tensor *inputs[]);

/* One pass on the tape, backward from a fixed cotangent; the output, or NULL after a failure. On a
 * bf16 tape the operation is given its inputs as bf16. */
assay_tensor *case_pass(assay_tape *tape, const op_case *c, assay_tensor *inputs[]);

/* |a - b| / |b| by Euclidean norms. Where the terms of b cancel, what fp32 leaves of a has no
 * scale: then the root mean square of a - b. */
double relative_distance(const float *a, const float *b, int64_t n);

#endif
