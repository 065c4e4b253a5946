-- hard_pairs.lua - are hard questions worth drawing? Questions and answers as they come, half of them, or all of them
-- among each user's hard ones (spec 3.2).
--   assay compare ggsm_hard_pairs --by dataset.hard
local setting = require "setting"

return experiment {
  name = setting.name "hard_pairs", dataset = setting.users { hard = any { 0, 0.5, 1 } }, model = setting.model(),
  adapter = setting.adapters, mask = mask.causal {}, loss = setting.loss(), train = setting.train(),
  evaluate = { setting.probe() }, seed = setting.seeds,
}
