/* physics.c - see physics.h. */
#include "physics.h"

#include <math.h>

double band_exact(double kelvin)
{
    /* B(l, T) = c1 / (l^5 (exp(c2 / (l T)) - 1)) per micrometre, by Simpson's rule; c1 = 2 h c^2 in
     * W um^4 / (m^2 sr), c2 = h c / k in um K. */
    enum { PIECES = 48 };
    const double c1 = 1.191042972e8, c2 = 1.438776877e4, step = 6.0 / PIECES;
    double sum = 0;
    for (int i = 0; i <= PIECES; i++) {
        double l = 8 + i * step;
        double weight = i == 0 || i == PIECES ? 1 : i % 2 == 1 ? 4 : 2;
        sum += weight * c1 / (l * l * l * l * l * (exp(c2 / (l * kelvin)) - 1));
    }
    return sum * step / 3;
}

void band_fill(band *table)
{
    for (int row = 0; row < BAND_ROWS; row++)
        table->radiance[row] = (float)band_exact(BAND_LOW + 0.5 * row);
    table->slope = (float)(band_exact(300.5) - band_exact(299.5));
}

void weather_draw(weather *w, hour when, double low, double high, assay_chance *chance)
{
    double toss = assay_chance_between(chance, 0, 1);
    w->day = when == HOUR_DAY || (when == HOUR_ANY && toss < 0.5);
    w->air = 273.15 + assay_chance_between(chance, low, high);
    double clear = assay_chance_between(chance, 0, 1);
    w->cloud = 1 - clear * (2 - clear); /* more often clear than not */
    double height = assay_chance_between(chance, 0.15, 1);
    w->sun = w->day ? height * (1 - 0.8 * w->cloud) : 0;
    /* A clear sky looks 50 K colder than the air overhead, an overcast one a few kelvins. */
    w->sky = w->air - 52 + 46 * w->cloud;
    /* Air lets 8 to 14 um through: 0.05 to 0.5 per kilometre, more in mist. */
    double mist = assay_chance_between(chance, 0, 1);
    w->extinction = 5e-5 + 4.5e-4 * mist * mist + (mist > 0.9 ? (mist - 0.9) * 0.05 : 0);
    w->light = assay_chance_between(chance, -1, 1);
}

double weather_surface(const weather *w, surface_kind kind, assay_chance *chance)
{
    /* Kelvins above the air that the sun gives at most, that the ground keeps at night, and that a
     * clear night sky takes. */
    static const struct {
        double sun, kept, lost;
    } of[SURFACES] = {
        [GRASS] = {9, 0, 4},       [SOIL] = {14, 1, 3},   [ASPHALT] = {22, 5, 1},
        [PAVEMENT] = {17, 4, 1.5}, [WALL] = {12, 4, 0.5}, [FOLIAGE] = {3, 0.3, 1},
        [METAL] = {14, -0.5, 2},
    };
    double heated = of[kind].sun * w->sun * assay_chance_between(chance, 0.7, 1.1);
    double kept = of[kind].kept * assay_chance_between(chance, 0.4, 1.1) * (w->day ? 0.4 : 1);
    double lost = of[kind].lost * (1 - w->cloud) * (w->day ? 0.2 : 1);
    return w->air + heated + kept - lost + assay_chance_between(chance, -0.4, 0.4);
}
