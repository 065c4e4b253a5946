-- masks.lua - which attention mask reads a user best? The recipes of GG-SM's Table 2, and controls.
--
-- Causal; three hybrids and the plain prefix mask they descend from; bidirectional at once, by a growing span, by a
-- growing weight (the scheduler), guided by gradients (GG-SM as published). Controls: GG-SM without its gradients (the
-- weight is 0.5 until the warm-up's end, then grows), and ggsm_plus, whose guidance differs from token to token.
--   assay compare ggsm_masks --suite cognition9 --wide
--   assay plot ggsm_masks loss --by mask
local setting = require "setting"
local warmup = setting.warmup

return experiment {
  name = setting.name "masks", dataset = setting.users(), model = setting.model(), adapter = setting.adapters,
  mask = any {
    mask.causal {},
    mask.hybrid {},
    mask.hybrid_mask {},
    mask.hybrid_query {},
    mask.hybrid_mlp {},
    mask.bidirectional {},
    mask.widening {},
    mask.future { weight = function(step, total) return math.max((step + 1) / total, 1e-4) end },
    mask.ggsm { warmup = warmup },
    mask.ggsm { warmup = warmup, guidance = "constant" },
    mask.ggsm_plus { warmup = warmup },
  },
  loss = setting.loss(), train = setting.train(), evaluate = { setting.probe() }, seed = setting.seeds,
}
