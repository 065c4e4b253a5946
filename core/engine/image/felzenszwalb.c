/* felzenszwalb.c - segments of an image: Felzenszwalb and Huttenlocher, "Efficient graph-based
 * image segmentation", IJCV 2004, with the choices of scikit-image's felzenszwalb. */
#include <assay/regions.h>

#include <math.h>
#include <string.h>

/* ---- blur ---- */

/* Index of a line that is mirrored at its ends, the end pixels twice. */
static int64_t mirrored(int64_t at, int64_t n)
{
    int64_t period = 2 * n;
    at %= period;
    at = at < 0 ? at + period : at;
    return at < n ? at : period - 1 - at;
}

static void blur_line(const double *in, int64_t n, int64_t stride, const double *half, int reach,
                      double *out)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = in[i * stride] * half[0];
        for (int k = reach; k >= 1; k--)
            sum += (in[mirrored(i - k, n) * stride] + in[mirrored(i + k, n) * stride]) * half[k];
        out[i] = sum;
    }
}

/* A Gaussian cut at four sigma, columns before rows. */
static bool blur(double sigma, int64_t width, int64_t height, double *plane, assay_arena *arena,
                 assay_error *error)
{
    int reach = (int)(4 * sigma + 0.5);
    int64_t longer = width > height ? width : height;
    int64_t bytes = (longer + reach + 1) * (int64_t)sizeof(double);
    double *line = assay_arena_alloc(arena, bytes, error);
    if (line == NULL)
        return false;
    double *half = line + longer, sum = 1;
    for (int k = 0; k <= reach; k++) {
        half[k] = exp(-0.5 / (sigma * sigma) * k * k);
        sum += k > 0 ? 2 * half[k] : 0;
    }
    for (int k = 0; k <= reach; k++)
        half[k] /= sum;
    for (int64_t x = 0; x < width; x++) {
        blur_line(plane + x, height, width, half, reach, line);
        for (int64_t y = 0; y < height; y++)
            plane[y * width + x] = line[y];
    }
    for (int64_t y = 0; y < height; y++) {
        blur_line(plane + y * width, width, 1, half, reach, line);
        memcpy(plane + y * width, line, (size_t)width * sizeof *line);
    }
    assay_arena_release(arena, line, bytes);
    return true;
}

/* ---- edges ---- */

typedef struct edge {
    uint64_t cost; /* the bits of a double that is not negative: they are ordered as it is */
    int32_t a, b;
} edge;

static uint64_t cost_of(const double *plane, int64_t a, int64_t b)
{
    double d = plane[a] - plane[b], square = d * d, cost = sqrt(square + square + square);
    uint64_t bits = 0;
    memcpy(&bits, &cost, sizeof bits);
    return bits;
}

/* Neighbours to the right, below, right below and right above, in this order. */
static int64_t list_edges(const double *plane, int64_t width, int64_t height, edge *out)
{
    static const int steps[4][2] = {{1, 0}, {0, 1}, {1, 1}, {1, -1}};
    int64_t n = 0;
    for (int s = 0; s < 4; s++)
        for (int64_t y = steps[s][1] < 0; y + steps[s][1] < height && y < height; y++)
            for (int64_t x = 0; x + steps[s][0] < width; x++) {
                int64_t a = y * width + x, b = a + steps[s][1] * width + steps[s][0];
                out[n++] = (edge){cost_of(plane, a, b), (int32_t)a, (int32_t)b};
            }
    return n;
}

/* By cost, equal ones in their order: four passes over 16 bits each. */
static bool sort_edges(edge *edges, int64_t n, assay_arena *arena, assay_error *error)
{
    int64_t bytes = n * (int64_t)sizeof *edges, table = (int64_t)sizeof(int64_t) * 65536;
    edge *other = assay_arena_alloc(arena, bytes, error);
    int64_t *first = assay_arena_alloc(arena, table, error);
    bool good = other != NULL && first != NULL;
    for (int shift = 0; good && shift < 64; shift += 16) {
        memset(first, 0, (size_t)table);
        for (int64_t i = 0; i < n; i++)
            first[edges[i].cost >> shift & 65535]++;
        int64_t sum = 0;
        for (int v = 0; v < 65536; v++) {
            int64_t count = first[v];
            first[v] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++)
            other[first[edges[i].cost >> shift & 65535]++] = edges[i];
        edge *swapped = edges;
        edges = other;
        other = swapped;
    }
    /* After four passes the sorted edges lie where they came from. */
    assay_arena_release(arena, first, table);
    assay_arena_release(arena, other, bytes);
    return good;
}

/* ---- components ---- */

typedef struct forest {
    int32_t *parent; /* of a pixel; roots are the smallest of their component */
    int32_t *size;
    double *inner; /* largest cost that joined the component */
} forest;

static int32_t root_of(forest *f, int32_t at)
{
    while (f->parent[at] != at) {
        f->parent[at] = f->parent[f->parent[at]];
        at = f->parent[at];
    }
    return at;
}

static void join(forest *f, int32_t a, int32_t b, double inner)
{
    int32_t root = a < b ? a : b, other = a < b ? b : a;
    f->parent[other] = root;
    f->size[root] += f->size[other];
    f->inner[root] = inner;
}

static void grow(forest *f, const edge *edges, int64_t n, double scale)
{
    for (int64_t e = 0; e < n; e++) {
        int32_t a = root_of(f, edges[e].a), b = root_of(f, edges[e].b);
        double cost = 0;
        if (a == b)
            continue;
        memcpy(&cost, &edges[e].cost, sizeof cost);
        if (cost < fmin(f->inner[a] + scale / f->size[a], f->inner[b] + scale / f->size[b]))
            join(f, a, b, cost);
    }
}

static void join_small(forest *f, const edge *edges, int64_t n, int64_t least)
{
    for (int64_t e = 0; e < n; e++) {
        int32_t a = root_of(f, edges[e].a), b = root_of(f, edges[e].b);
        if (a != b && (f->size[a] < least || f->size[b] < least))
            join(f, a, b, f->inner[a]);
    }
}

/* Roots come before their pixels, so one pass gives every pixel its number. */
static int64_t number(forest *f, int64_t pixels, int32_t *labels)
{
    int64_t count = 0;
    for (int64_t i = 0; i < pixels; i++) {
        int32_t root = root_of(f, (int32_t)i);
        labels[i] = root == (int32_t)i ? (int32_t)count++ : labels[root];
    }
    return count;
}

bool assay_segments(const assay_image *image, const assay_search *how, int32_t *labels,
                    int64_t *count, assay_arena *arena, assay_error *error)
{
    int64_t width = image->width, height = image->height, pixels = width * height;
    const int64_t plane_bytes = pixels * (int64_t)sizeof(double);
    const int64_t edge_bytes = 4 * pixels * (int64_t)sizeof(edge);
    const int64_t id_bytes = pixels * (int64_t)sizeof(int32_t);
    const uint8_t *gray = image->data;
    if (image->bits != 8 || pixels > ASSAY_IMAGE_PIXELS)
        return ASSAY_FAIL(error, ASSAY_BAD_INPUT, .where = "segments",
                          .what = "the image is not of 8 bits, or too large");
    double *plane = assay_arena_alloc(arena, plane_bytes, error);
    edge *edges = assay_arena_alloc(arena, edge_bytes, error);
    forest f = {.parent = assay_arena_alloc(arena, id_bytes, error),
                .size = assay_arena_alloc(arena, id_bytes, error)};
    if (plane == NULL || edges == NULL || f.parent == NULL || f.size == NULL)
        return false;
    for (int64_t i = 0; i < pixels; i++)
        plane[i] = gray[i] * (1.0 / 255);
    if (how->sigma > 0 && !blur(how->sigma, width, height, plane, arena, error))
        return false;
    int64_t n = list_edges(plane, width, height, edges);
    if (!sort_edges(edges, n, arena, error))
        return false;
    f.inner = plane; /* which nobody needs any more */
    for (int64_t i = 0; i < pixels; i++) {
        f.parent[i] = (int32_t)i;
        f.size[i] = 1;
        f.inner[i] = 0;
    }
    grow(&f, edges, n, how->scale / 255);
    join_small(&f, edges, n, how->least);
    *count = number(&f, pixels, labels);
    assay_arena_release(arena, f.size, id_bytes);
    assay_arena_release(arena, f.parent, id_bytes);
    assay_arena_release(arena, edges, edge_bytes);
    assay_arena_release(arena, plane, plane_bytes);
    return true;
}
