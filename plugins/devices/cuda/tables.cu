/* tables.cu - rows taken out of a table by their ids, and added to it.
 *
 * Adding has to be in the order of the rows, whatever the scheduling, and ids repeat: one may stand
 * in a few rows or in half of them. So the rows' numbers are sorted by id first, which makes a run
 * of each id, in order. The sorted rows are cut into pieces of a fixed size, and a thread adds up
 * what it finds in a piece: a run that lies in it goes to the table, the ends of longer runs are
 * left beside the table and joined in order. No work is done for ids that stand in no row, but for
 * clearing the table.
 *
 * The sort ranks keys: every key differs, so that its place is the number of smaller ones. Tiles
 * are ranked by comparing all pairs, then WAYS sorted stretches at a time are merged, where each
 * key looks up its place in the other stretches by bisection. Bound by memory for rows of a few
 * hundred numbers and more; by the launches of the sort, one and one per factor of WAYS, for small
 * n. Not measured. */
#include "kernels.h"
#include "pack.h"

template <int V>
static __global__ void gather_rows_packs(int64_t n, int64_t width, const float *table,
                                         const int32_t *ids, float *y)
{
    CUDA_EACH(p, n * width / V)
    {
        cuda_quotient at = cuda_divide(p * V, width);
        cuda_store(y + p * V, cuda_load<V>(table + ids[at.whole] * width + at.rest));
    }
}

extern "C" void cuda_gather_rows(int64_t n, int64_t width, const float *table, const int32_t *ids,
                                 float *y)
{
    bool packed = width % 4 == 0 && cuda_aligned(table, y);
    CUDA_LAUNCH_PACKS(gather_rows, packed, n * width, n, width, table, ids, y);
}

/* ---- the sort ---- */

enum {
    TILE = 128,    /* keys ranked by comparing all pairs */
    WAYS = 4,      /* stretches merged at a time */
    ROW_BITS = 33, /* of a key; the 31 above are the id */
    PIECE = 64,    /* sorted rows that a thread adds up */
    AHEAD = 4,     /* rows that it asks for before it needs them */
};

static __device__ inline uint64_t key_of(int32_t id, int64_t row)
{
    return (uint64_t)id << ROW_BITS | (uint64_t)row;
}

static __device__ inline int64_t id_of(uint64_t key)
{
    return (int64_t)(key >> ROW_BITS);
}

static __device__ inline int64_t row_of(uint64_t key)
{
    return (int64_t)(key & (((uint64_t)1 << ROW_BITS) - 1));
}

/* How many of `n` ascending keys are below `key`. */
static __device__ inline int64_t count_below(const uint64_t *keys, int64_t n, uint64_t key)
{
    int64_t low = 0;
    while (low < n) {
        int64_t middle = low + (n - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

static __global__ void sort_tiles(int64_t n, const int32_t *ids, uint64_t *keys)
{
    CUDA_EACH(i, n)
    {
        int64_t first = i / TILE * TILE, end = first + TILE < n ? first + TILE : n, rank = 0;
        for (int64_t j = first; j < end; j++)
            rank += ids[j] < ids[i] || (ids[j] == ids[i] && j < i);
        keys[first + rank] = key_of(ids[i], i);
    }
}

/* Sorted stretches of `length` keys become stretches of WAYS times that. */
static __global__ void merge_stretches(int64_t n, int64_t length, const uint64_t *from,
                                       uint64_t *to)
{
    CUDA_EACH(i, n)
    {
        int64_t own = i / length, group = own / WAYS * WAYS, place = group * length + i % length;
        for (int64_t other = group; other < group + WAYS && other * length < n; other++) {
            int64_t left = n - other * length;
            if (other != own)
                place += count_below(from + other * length, left < length ? left : length, from[i]);
        }
        to[place] = from[i];
    }
}

/* Sorts into `keys` or `spare`, n each; returns which. */
static const uint64_t *sort_by_id(int64_t n, const int32_t *ids, uint64_t *keys, uint64_t *spare)
{
    CUDA_LAUNCH(sort_tiles, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, ids, keys);
    for (int64_t length = TILE; length < n; length *= WAYS) {
        CUDA_LAUNCH(merge_stretches, cuda_blocks(n, CUDA_BLOCK), CUDA_BLOCK, 0, n, length, keys,
                    spare);
        uint64_t *sorted = spare;
        spare = keys;
        keys = sorted;
    }
    return keys;
}

/* ---- the sums ---- */

/* A scatter under way. heads and tails (pieces, D): sums of a piece's rows whose run began before
 * it, and of those whose run begins in it and goes on behind it. */
typedef struct table_sum {
    int64_t n, width;
    const float *x;
    const uint64_t *keys;
    float *heads, *tails, *table;
    bool add;
} table_sum;

/* The id of sorted row i, -1 outside. */
static __device__ inline int64_t id_at(const table_sum *s, int64_t i)
{
    return i >= 0 && i < s->n ? id_of(s->keys[i]) : -1;
}

/* Puts the sum of a run's rows in a piece, which end before `next`, to where it belongs. */
template <int V>
static __device__ inline void put_run(const table_sum *s, int64_t piece, int64_t next, int64_t id,
                                      int64_t c, cuda_pack<float, V> sum)
{
    if (id == id_at(s, piece * PIECE - 1))
        cuda_store(s->heads + piece * s->width + c, sum);
    else if (id == id_at(s, next))
        cuda_store(s->tails + piece * s->width + c, sum);
    else
        cuda_put(s->table + id * s->width + c, sum, s->add);
}

template <int V> static __global__ void add_runs_packs(int64_t tasks, table_sum s)
{
    CUDA_EACH(task, tasks / V)
    {
        cuda_quotient at = cuda_divide(task * V, s.width); /* piece and column */
        int64_t first = at.whole * PIECE, end = first + PIECE < s.n ? first + PIECE : s.n;
        cuda_pack<float, V> sum = cuda_same<V>(0.0f);
        for (int64_t i = first; i < end; i += AHEAD) {
            cuda_pack<float, V> rows[AHEAD];
            int64_t ids[AHEAD];
            for (int a = 0; a < AHEAD; a++) {
                uint64_t key = s.keys[i + a < end ? i + a : end - 1];
                rows[a] = cuda_load<V>(s.x + row_of(key) * s.width + at.rest);
                ids[a] = id_of(key);
            }
            for (int a = 0; a < AHEAD && i + a < end; a++) {
                for (int k = 0; k < V; k++)
                    sum.at[k] += rows[a].at[k];
                int64_t next = i + a + 1;
                if (next < end && id_at(&s, next) == ids[a])
                    continue;
                put_run<V>(&s, at.whole, next, ids[a], at.rest, sum);
                sum = cuda_same<V>(0.0f);
            }
        }
    }
}

/* The runs that begin in a piece and go on behind it. */
template <int V> static __global__ void join_runs_packs(int64_t tasks, table_sum s)
{
    CUDA_EACH(task, tasks / V)
    {
        cuda_quotient at = cuda_divide(task * V, s.width);
        int64_t first = at.whole * PIECE, behind = first + PIECE, id = id_at(&s, behind - 1);
        if (id < 0 || id_at(&s, behind) != id || id_at(&s, first - 1) == id)
            continue;
        int64_t more = count_below(s.keys + behind, s.n - behind, (uint64_t)(id + 1) << ROW_BITS);
        int64_t last = (behind + more - 1) / PIECE;
        cuda_pack<float, V> part = cuda_load<V>(s.tails + at.whole * s.width + at.rest);
        double sum[V];
        for (int k = 0; k < V; k++)
            sum[k] = part.at[k];
        for (int64_t piece = at.whole + 1; piece <= last; piece++) {
            part = cuda_load<V>(s.heads + piece * s.width + at.rest);
            for (int k = 0; k < V; k++)
                sum[k] += part.at[k];
        }
        for (int k = 0; k < V; k++)
            part.at[k] = (float)sum[k];
        cuda_put(s.table + id * s.width + at.rest, part, s.add);
    }
}

extern "C" void cuda_scatter_rows(int64_t n, int64_t width, int64_t entries, const float *x,
                                  const int32_t *ids, float *table, bool add)
{
    if (!add)
        cuda_fill(entries * width, 0.0f, NULL, table, false);
    int64_t tasks = (n + PIECE - 1) / PIECE * width, places = (n + 1) / 2 * 2;
    if (tasks == 0)
        return;
    uint64_t *keys = (uint64_t *)cuda_workspace(2 * places * (int64_t)sizeof *keys +
                                                2 * tasks * (int64_t)sizeof(float));
    if (keys == NULL)
        return;
    float *heads = (float *)(keys + 2 * places);
    const uint64_t *sorted = sort_by_id(n, ids, keys, keys + places);
    table_sum sum = {n, width, x, sorted, heads, heads + tasks, table, add};
    bool packed = width % 4 == 0 && cuda_aligned(x, table);
    CUDA_LAUNCH_PACKS(add_runs, packed, tasks, tasks, sum);
    if (n > PIECE)
        CUDA_LAUNCH_PACKS(join_runs, packed, tasks, tasks, sum);
}
