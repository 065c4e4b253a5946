-- guidance.lua - how much do gradients guide GG-SM? (user-modelling spec 3.6)
--
-- The published rule under both readouts, in the paper's form and the code's, rounded to bf16 as the code rounds it;
-- beside it ggsm_plus. The curves say it: mask/weight_mean stays at 0.5 and mask/weight_sd at nothing through the
-- warm-up of the published rule, for a norm is never negative, a mean gives every token the same gradient, and at the
-- last layer only the token that is read has one.
--   assay runs ggsm_guidance
--   assay plot ggsm_guidance mask/weight_sd --by mask
local setting = require "setting"
local warmup = setting.warmup

return experiment {
  name = setting.name "guidance", dataset = setting.users(),
  model = setting.model { readout = any { "user_token", "mean" } }, adapter = setting.adapters,
  mask = any {
    mask.ggsm { warmup = warmup, variant = "paper" },
    mask.ggsm { warmup = warmup, variant = "code", rho = any { 0.0, 0.99 } },
    mask.ggsm { warmup = warmup, variant = "code", rounding = "bf16" },
    mask.ggsm { warmup = warmup, guidance = "constant" },
    mask.ggsm_plus { warmup = warmup },
  },
  loss = setting.loss(), train = setting.train(), evaluate = { setting.probe() }, seed = seeds(2),
}
