/* rich.h - a script with a bit of everything, for tests that break it. */
#ifndef SCRIPT_RICH_H
#define SCRIPT_RICH_H

#define RICH_SCRIPT                                                                                \
    "-- A bit of everything.\n"                                                                    \
    "local soft = require 'soft'\n"                                                                \
    "local data = dataset.files { path = 'data', sources = { 'a', 'b' } }\n"                       \
    "local z = zip { size = { 'tiny', 'base' }, width = { 8, 16 } }\n"                             \
    "local pre = run { name = 'pre', dataset = data, model = model.coder { width = z.width },\n"   \
    "  train = { steps = 3 }, mask = soft.mask(any { 0.1, 0.3 }), seed = seeds(2) }\n"             \
    "return experiment {\n"                                                                        \
    "  name = 'rich', dataset = data, trials = 2, seed = seeds(2), init = pre,\n"                  \
    "  model = model.coder { size = z.size, rates = { 0.5, 1 }, note = ('x'):rep(3) },\n"          \
    "  mask = any { none, mask.slope { weight = function(s, n) return s / n end } },\n"            \
    "  loss = { loss.guess { weight = pre:score('s/auc', 'test') }, loss.match { teacher = pre "   \
    "},\n"                                                                                         \
    "    choice { none, loss.match { margin = 0.2 } } },\n"                                        \
    "  adapter = { adapter.low { rank = 2 } }, evaluate = evaluator.probe { metrics = { 'ks' } "   \
    "},\n"                                                                                         \
    "  train = { steps = 4, lr = log_uniform(1e-4, 1e-2), warmup = 0.1, shuffle = false },\n"      \
    "}\n"
#define RICH_MODULE "return { mask = function(w) return mask.slope { warmup = w } end }\n"

#endif
