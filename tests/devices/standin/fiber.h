/* standin/fiber.h - threads of a block as fibers of one host thread: each has a stack of its own,
 * and they change places only where they say so. AddressSanitizer is told of every change. */
#ifndef ASSAY_TESTS_STANDIN_FIBER_H
#define ASSAY_TESTS_STANDIN_FIBER_H

#include <stddef.h>

typedef struct fiber {
    void *place;  /* where it stopped: its stack pointer, or its ucontext_t */
    void *stack;  /* lowest byte. Of the host's own stack ASan tells it at the first change. */
    size_t bytes; /* of the stack */
    void *fake;   /* ASan's handle while it is stopped */
    int thread;   /* of the block, and a list: both the launch's business */
    struct fiber *next;
} fiber;

/* A fiber that has not begun: the first change to it calls entry(), which must not return. There is
 * one entry for all. Lives as long as the process. A fault when there is no memory. */
fiber *fiber_new(void (*entry)(void));
/* Makes a stopped fiber one that has not begun: its stack is given up. */
void fiber_restart(fiber *f);
/* Stops `from`, which runs, and goes on with `to`. Returns when something changes to `from`. The
 * host's own stack is a fiber of zeros. */
void fiber_change(fiber *from, fiber *to);

#endif
