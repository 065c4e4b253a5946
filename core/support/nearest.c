/* nearest.c - the word that was probably meant (assay/error.h). */
#include <assay/error.h>

#include <string.h>

#define LONGEST 128 /* bytes of a word that are compared */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, substitutions and transpositions of neighbours that lead from a to b.
 * Three rows of the table are enough: the one under way and the two before it. */
static int edits(const char *a, int a_length, const char *b, int b_length)
{
    int rows[3][LONGEST + 1];
    for (int j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *twice = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= b_length; j++) {
            bool same = a[i - 1] == b[j - 1];
            now[j] = smaller(before[j - 1] + !same, smaller(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], twice[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *assay_nearest(const char *word, int n, const char *const *words)
{
    const char *nearest = NULL;
    int length = (int)strnlen(word, LONGEST);
    int fewest = (length + 2) / 3 + 1; /* a third of the word may be wrong */
    for (int i = 0; i < n; i++) {
        int found = edits(word, length, words[i], (int)strnlen(words[i], LONGEST));
        if (found < fewest) {
            fewest = found;
            nearest = words[i];
        }
    }
    return nearest;
}
