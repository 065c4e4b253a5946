/* test_memory.c - sizes that do not fit are refused, blocks are counted, and an arena that has seen
 * its largest step allocates nothing. */
#include <assay/memory.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef TEST_ASAN
#include <sanitizer/asan_interface.h>
#endif

static int64_t allocations_so_far(void)
{
    return assay_memory_stats_get().allocations;
}

static void assert_aligned(const void *block)
{
    assert_int_equal((uintptr_t)block % ASSAY_ALIGNMENT, 0);
}

/* ---- sizes ---- */

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    int64_t out = 7;
    assert_false(assay_size_mul(&out, INT64_MAX, 2));
    assert_false(assay_size_mul(&out, INT64_C(1) << 32, INT64_C(1) << 31));
    assert_false(assay_size_add(&out, INT64_MAX, 1));
    assert_false(assay_size_mul(&out, -1, 0));
    assert_false(assay_size_mul(&out, 3, -1));
    assert_false(assay_size_add(&out, -1, 5));
    assert_false(assay_size_add(&out, 5, -1));
    assert_int_equal(out, 7);
    assert_true(assay_size_mul(&out, INT64_C(1) << 31, INT64_C(1) << 31));
    assert_true(out == INT64_C(1) << 62);
    assert_true(assay_size_add(&out, INT64_MAX - 1, 1));
    assert_true(out == INT64_MAX);
}

static void a_count_is_the_product_of_the_shape(void **state)
{
    (void)state;
    int64_t out = 7, big = INT64_C(1) << 40;
    assert_true(assay_size_count(&out, 0, NULL));
    assert_int_equal(out, 1);
    assert_true(assay_size_count(&out, 3, (int64_t[]){2, 3, 4}));
    assert_int_equal(out, 24);
    assert_true(assay_size_count(&out, 3, (int64_t[]){big, big, 0}));
    assert_int_equal(out, 0);
    out = 7;
    assert_false(assay_size_count(&out, 2, (int64_t[]){big, big}));
    assert_false(assay_size_count(&out, 2, (int64_t[]){0, -1}));
    assert_false(assay_size_count(&out, -1, NULL));
    assert_int_equal(out, 7);
}

/* ---- blocks ---- */

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    assay_memory_stats before = assay_memory_stats_get();
    char *a = assay_alloc(100, NULL), *b = assay_alloc(0, NULL);
    assert_non_null(a);
    assert_non_null(b);
    assert_aligned(a);
    assert_aligned(b);
    memset(a, 1, 100);
    assay_memory_stats during = assay_memory_stats_get();
    assert_int_equal(during.allocations - before.allocations, 2);
    assert_int_equal(during.live_blocks - before.live_blocks, 2);
    assert_int_equal(during.live_bytes - before.live_bytes, 100);
    assert_true(during.peak_bytes >= during.live_bytes);
    assay_free(a);
    assay_free(b);
    assay_free(NULL);
    assay_memory_stats after = assay_memory_stats_get();
    assert_int_equal(after.live_blocks, before.live_blocks);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_int_equal(after.peak_bytes, during.peak_bytes);
}

static void cleared_blocks_are_zero(void **state)
{
    (void)state;
    unsigned char *dirty = assay_alloc(4096, NULL);
    memset(dirty, 0xAB, 4096);
    assay_free(dirty);
    unsigned char *block = assay_zalloc(4096, NULL);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(block[i], 0);
    assay_free(block);
}

static void a_copied_string_is_owned(void **state)
{
    (void)state;
    char text[] = "name";
    char *copy = assay_strdup(text, NULL);
    text[0] = 'g';
    assert_string_equal(copy, "name");
    assay_free(copy);
}

static void impossible_requests_are_errors(void **state)
{
    (void)state;
    const int64_t sizes[] = {-1, INT64_MAX, INT64_MAX - 8, INT64_C(1) << 61};
    int64_t blocks = assay_memory_stats_get().live_blocks;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
#ifdef TEST_ASAN
        if (sizes[i] == INT64_C(1) << 61)
            continue; /* the sanitizer's allocator ends the process instead of returning NULL */
#endif
        assay_error error = {0};
        assert_null(assay_alloc(sizes[i], &error));
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
    }
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

static void the_chosen_allocation_fails_once(void **state)
{
    (void)state;
    assay_error error = {0};
    assay_memory_fail_after(1);
    void *first = assay_alloc(8, &error);
    assert_non_null(first);
    assert_null(assay_zalloc(8, &error));
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    char *third = assay_strdup("x", NULL);
    assert_non_null(third);
    assay_free(first);
    assay_free(third);
    assay_memory_fail_after(0);
    assay_memory_fail_after(-1);
    void *fourth = assay_alloc(8, NULL);
    assert_non_null(fourth);
    assay_free(fourth);
}

static void *allocate_many(void *unused)
{
    for (int i = 0; i < 2000; i++)
        assay_free(assay_alloc(i, NULL));
    return unused;
}

static void threads_do_not_lose_counts(void **state)
{
    (void)state;
    pthread_t threads[4];
    assay_memory_stats before = assay_memory_stats_get();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assay_memory_stats after = assay_memory_stats_get();
    assert_int_equal(after.allocations - before.allocations, 4 * 2000);
    assert_int_equal(after.live_blocks, before.live_blocks);
    assert_int_equal(after.live_bytes, before.live_bytes);
}

/* ---- arenas ---- */

/* One step that needs more than the first chunk, releases on the way, and writes all of every
 * piece. Returns the number of pieces whose bytes another piece changed. */
static int run_step(assay_arena *arena)
{
    enum { PIECES = 40 };
    unsigned char *pieces[PIECES];
    int64_t sizes[PIECES];
    int damaged = 0;
    for (int i = 0; i < PIECES; i++) {
        sizes[i] = 1 + 97 * i % 1500;
        pieces[i] = assay_arena_alloc(arena, sizes[i], NULL);
        assert_non_null(pieces[i]);
        assert_aligned(pieces[i]);
        memset(pieces[i], i, (size_t)sizes[i]);
        unsigned char *scratch = assay_arena_alloc(arena, 300, NULL);
        memset(scratch, 0xEE, 300);
        assay_arena_release(arena, scratch, 300);
    }
    for (int i = 0; i < PIECES; i++)
        for (int64_t j = 0; j < sizes[i]; j++)
            damaged += pieces[i][j] != i;
    return damaged;
}

static void an_arena_that_has_seen_its_largest_step_never_allocates(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(1024, NULL);
    assert_int_equal(run_step(arena), 0);
    assay_arena_stats cold = assay_arena_stats_get(arena);
    assert_true(cold.peak_bytes > 1024);
    assay_arena_reset(arena);
    int64_t before = allocations_so_far();
    assert_int_equal(run_step(arena), 0);
    assert_int_equal(allocations_so_far() - before, 1); /* the joined chunk */
    assay_arena_stats warm = assay_arena_stats_get(arena);
    assert_true(warm.chunk_bytes <= cold.chunk_bytes);
    for (int step = 0; step < 20; step++) {
        assay_arena_reset(arena);
        assert_int_equal(assay_arena_stats_get(arena).used_bytes, 0);
        assert_int_equal(run_step(arena), 0);
    }
    assert_int_equal(allocations_so_far() - before, 1);
    assay_arena_stats stats = assay_arena_stats_get(arena);
    assert_int_equal(stats.chunk_bytes, warm.chunk_bytes);
    assert_int_equal(stats.peak_bytes, warm.peak_bytes);
    assay_arena_free(arena);
}

static void a_released_piece_serves_the_same_rounded_size(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(0, NULL);
    void *a = assay_arena_alloc(arena, 100, NULL);
    void *b = assay_arena_alloc(arena, 128, NULL);
    assay_arena_release(arena, a, 100);
    assay_arena_release(arena, b, 128);
    void *other = assay_arena_alloc(arena, 129, NULL);
    assert_ptr_not_equal(other, a);
    assert_ptr_not_equal(other, b);
    assert_ptr_equal(assay_arena_alloc(arena, 65, NULL), b);
    assert_ptr_equal(assay_arena_alloc(arena, 120, NULL), a);
    void *fresh = assay_arena_alloc(arena, 100, NULL);
    assert_ptr_not_equal(fresh, a);
    assert_ptr_not_equal(fresh, b);
    assay_arena_free(arena);
}

static void scratch_that_is_released_does_not_grow_the_extent(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(4096, NULL);
    for (int i = 0; i < 1000; i++) {
        void *piece = assay_arena_alloc(arena, 200, NULL);
        assert_int_equal(assay_arena_stats_get(arena).used_bytes, 256);
        assay_arena_release(arena, piece, 200);
    }
    assay_arena_release(arena, NULL, 200);
    assert_int_equal(assay_arena_stats_get(arena).used_bytes, 0);
    assert_int_equal(assay_arena_stats_get(arena).peak_bytes, 256);
    assay_arena_free(arena);
}

static void empty_pieces_differ_and_can_be_released(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(0, NULL);
    void *a = assay_arena_alloc(arena, 0, NULL), *b = assay_arena_alloc(arena, 0, NULL);
    assert_ptr_not_equal(a, b);
    assay_arena_release(arena, a, 0);
    assert_ptr_equal(assay_arena_alloc(arena, 0, NULL), a);
    assay_arena_free(arena);
}

static void more_sizes_than_free_lists_are_survived(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(64, NULL);
    for (int round = 0; round < 2; round++)
        for (int64_t i = 1; i <= 600; i++) {
            char *piece = assay_arena_alloc(arena, 64 * i, NULL);
            assert_non_null(piece);
            memset(piece, 1, (size_t)(64 * i));
            assay_arena_release(arena, piece, 64 * i);
        }
    assert_int_equal(assay_arena_stats_get(arena).used_bytes, 0);
    /* 512 sizes were reused in the second round, the other 88 were cut again. */
    int64_t once = 64 * 600 * 601 / 2, peak = assay_arena_stats_get(arena).peak_bytes;
    assert_true(peak > once && peak < 2 * once);
    assay_arena_free(arena);
}

static void an_arena_gives_everything_back(void **state)
{
    (void)state;
    assay_memory_stats before = assay_memory_stats_get();
    assay_arena *arena = assay_arena_new(100, NULL);
    assay_arena_alloc(arena, 8 << 20, NULL);
    assay_arena_alloc(arena, 100 << 10, NULL);
    assay_memory_stats during = assay_memory_stats_get();
    assert_true(during.live_bytes - before.live_bytes >= assay_arena_stats_get(arena).chunk_bytes);
    assert_true(assay_arena_stats_get(arena).chunk_bytes >= (8 << 20) + (100 << 10));
    assay_arena_free(arena);
    assay_arena_free(NULL);
    assay_memory_stats after = assay_memory_stats_get();
    assert_int_equal(after.live_blocks, before.live_blocks);
    assert_int_equal(after.live_bytes, before.live_bytes);
}

static void a_failed_growth_leaves_the_arena_usable(void **state)
{
    (void)state;
    int64_t blocks = assay_memory_stats_get().live_blocks;
    assay_error error = {0};
    assay_arena *arena = assay_arena_new(256, NULL);
    char *kept = assay_arena_alloc(arena, 128, NULL);
    memset(kept, 5, 128);
    assay_memory_fail_after(0);
    assert_null(assay_arena_alloc(arena, 1000, &error));
    assert_int_equal(error.code, ASSAY_NO_MEMORY);
    assert_int_equal(assay_arena_stats_get(arena).used_bytes, 128);
    assert_non_null(assay_arena_alloc(arena, 1000, NULL));
    assert_int_equal(kept[127], 5);
    assay_arena_reset(arena);
    assay_memory_fail_after(0); /* now the joined chunk fails */
    assert_null(assay_arena_alloc(arena, 10, NULL));
    assert_non_null(assay_arena_alloc(arena, 10, NULL));
    assay_arena_free(arena);
    for (int n = 0; n < 2; n++) {
        assay_memory_fail_after(n);
        assert_null(assay_arena_new(0, NULL));
    }
    assert_int_equal(assay_memory_stats_get().live_blocks, blocks);
}

static void impossible_arena_requests_are_errors(void **state)
{
    (void)state;
    assay_error error = {0};
    assert_null(assay_arena_new(-1, &error));
    assert_int_equal(error.code, ASSAY_BAD_INPUT);
    assay_arena *arena = assay_arena_new(0, NULL);
    const int64_t sizes[] = {-1, INT64_MAX, INT64_MAX - 63, INT64_MAX - 127};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assay_error_clear(&error);
        assert_null(assay_arena_alloc(arena, sizes[i], &error));
        assert_int_equal(error.code, ASSAY_NO_MEMORY);
    }
    assay_arena_free(arena);
}

#ifdef TEST_ASAN
static void stale_use_is_poisoned_under_the_sanitizer(void **state)
{
    (void)state;
    assay_arena *arena = assay_arena_new(0, NULL);
    char *piece = assay_arena_alloc(arena, 100, NULL);
    assert_false(__asan_address_is_poisoned(piece + 99));
    assert_true(__asan_address_is_poisoned(piece + 100));
    assay_arena_release(arena, piece, 100);
    assert_true(__asan_address_is_poisoned(piece));
    assert_ptr_equal(assay_arena_alloc(arena, 70, NULL), piece);
    assert_false(__asan_address_is_poisoned(piece + 69));
    assert_true(__asan_address_is_poisoned(piece + 70));
    assay_arena_reset(arena);
    assert_true(__asan_address_is_poisoned(piece));
    assay_arena_free(arena);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(a_count_is_the_product_of_the_shape),
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(cleared_blocks_are_zero),
        cmocka_unit_test(a_copied_string_is_owned),
        cmocka_unit_test(impossible_requests_are_errors),
        cmocka_unit_test(the_chosen_allocation_fails_once),
        cmocka_unit_test(threads_do_not_lose_counts),
        cmocka_unit_test(an_arena_that_has_seen_its_largest_step_never_allocates),
        cmocka_unit_test(a_released_piece_serves_the_same_rounded_size),
        cmocka_unit_test(scratch_that_is_released_does_not_grow_the_extent),
        cmocka_unit_test(empty_pieces_differ_and_can_be_released),
        cmocka_unit_test(more_sizes_than_free_lists_are_survived),
        cmocka_unit_test(an_arena_gives_everything_back),
        cmocka_unit_test(a_failed_growth_leaves_the_arena_usable),
        cmocka_unit_test(impossible_arena_requests_are_errors),
#ifdef TEST_ASAN
        cmocka_unit_test(stale_use_is_poisoned_under_the_sanitizer),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
