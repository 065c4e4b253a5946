/* telling.h - events as texts: plain English of about 2,000 words, the topic first. */
#ifndef USER_SYNTH_TELLING_H
#define USER_SYNTH_TELLING_H

#include "person.h"

enum { LONGEST_TEXT = 128 }; /* bytes of an event's text, more than any has */

/* Writes an event's text to out, which has room for LONGEST_TEXT bytes; returns its bytes.
 *     bill     takeout ordered spicy noodles Alderhall 35 evening paid
 *     app      games ranked chess played often
 *     minipro  forest pine collected budget morning
 *     sousuo   travel coastal flight price
 *     spm      brand channel banner sneakers clicked */
int64_t tell_event(const life_event *e, const world *w, char *out);

/* Amounts are told to two digits: 4, 35, 120, 2300. */
int64_t told_amount(float amount);

#endif
