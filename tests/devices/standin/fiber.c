#include "fiber.h"

#include "inside.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

/* Stacks begin at different lines of their pages: where all begin at one, those of a warp push each
 * other out of the cache at each change. */
enum { STACK_BYTES = 256 * 1024, COLOUR_BYTES = 320, PAGE_BYTES = 4096 };

static void (*entry_of_all)(void);
#ifdef WITH_ASAN
static fiber *stopping, *going_on; /* of the change under way */
#endif

/* The first thing that runs after a change, on the new stack. */
static void arrive(void)
{
#ifdef WITH_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(going_on->fake, &bottom, &bytes);
    stopping->stack = (void *)(uintptr_t)bottom;
    stopping->bytes = bytes;
#endif
}

static void begin(void)
{
    arrive();
    entry_of_all();
    standin_fault("a fiber's entry has returned");
}

#if defined(__x86_64__)

/* The registers that a call preserves go to the stack of who stops and come from the stack of who
 * goes on: standin_swap(&from->place, to->place). */
void standin_swap(void **from, void *to);
__asm__(".text\n"
        ".hidden standin_swap\n"
        ".globl standin_swap\n"
        ".type standin_swap, @function\n"
        "standin_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size standin_swap, .-standin_swap\n");

/* Leaves the stack as standin_swap does: six registers, then where to return to. At the entry of a
 * function the stack pointer is 8 below a multiple of 16. */
void fiber_restart(fiber *f)
{
    uintptr_t *top = (uintptr_t *)((char *)f->stack + f->bytes);
    for (int i = 1; i <= 8; i++)
        top[-i] = 0;
    top[-2] = (uintptr_t)begin;
    f->place = top - 8;
    f->fake = NULL;
}

static void swap(fiber *from, fiber *to)
{
    standin_swap(&from->place, to->place);
}

#else

#include <ucontext.h>

static ucontext_t *context(fiber *f)
{
    if (!f->place)
        f->place = calloc(1, sizeof(ucontext_t));
    if (!f->place)
        standin_fault("no memory for a fiber");
    return f->place;
}

void fiber_restart(fiber *f)
{
    ucontext_t *c = context(f);
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = f->bytes;
    f->fake = NULL;
    makecontext(c, begin, 0);
}

static void swap(fiber *from, fiber *to)
{
    swapcontext(context(from), context(to));
}

#endif

fiber *fiber_new(void (*entry)(void))
{
    static size_t made;
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    fiber *f = calloc(1, sizeof *f);
    char *map = mmap(NULL, guard + STACK_BYTES, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (!f || map == MAP_FAILED || mprotect(map + guard, STACK_BYTES, PROT_READ | PROT_WRITE) != 0)
        standin_fault("no memory for the stack of a thread");
    entry_of_all = entry;
    f->stack = map + guard;
    f->bytes = STACK_BYTES - made++ * COLOUR_BYTES % PAGE_BYTES;
    fiber_restart(f);
    return f;
}

void fiber_change(fiber *from, fiber *to)
{
#ifdef WITH_ASAN
    stopping = from;
    going_on = to;
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
#endif
    swap(from, to);
    arrive();
}
