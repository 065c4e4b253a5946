-- prompt_tuning.lua - a few soft tokens per scenario (the last rows of the paper's Tables 2, 3 and 6).
--
-- For each of the ten scenarios: the pre-trained model as it is, with six tuned prompt tokens, and the same tokens on a
-- model that was never pre-trained. Everything but prompts and prototypes is frozen, so each user's history is run
-- once and its keys and values are kept. Tuned on the probe's training users, measured by the same probe.
--   assay compare q_anchor_prompt_tuning --suite alipay10 --wide
local setting = require "setting"
local scenario = any(setting.scenarios)
local pretrained = setting.pretrained()

local untuned = { steps = 0, batch = 64 }
local tuned = setting.tuning { steps = 500 }
local row = zip {
  init    = { pretrained, pretrained, none },
  adapter = { setting.adapters or none, setting.prompt(), setting.prompt() },
  loss    = { none, setting.prototype(), setting.prototype() },
  train   = { untuned, tuned, tuned },
}

return experiment {
  name = setting.name "prompt_tuning", dataset = setting.users { task = scenario }, model = setting.model(), init = row.init,
  adapter = row.adapter, mask = mask.causal {}, loss = row.loss, train = row.train,
  evaluate = { setting.probe { benchmarks = { scenario } } }, seed = setting.seeds,
}
