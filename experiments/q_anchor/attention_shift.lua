-- attention_shift.lua - which source does the read token attend to, and how does a tuned prompt move that? (Fig. 7)
--   assay compare q_anchor_attention_shift --each
local setting = require "setting"
local pretrained = setting.pretrained()
local scenario = any { "takeout", "forest" }

return experiment {
  name = setting.name "attention_shift", dataset = setting.users { task = scenario }, model = setting.model(),
  init = pretrained, adapter = setting.prompt(), mask = mask.causal {}, loss = setting.prototype(),
  train = setting.tuning { steps = setting.prompt_steps },
  evaluate = { evaluator.attention_shift { suite = "alipay10", base = pretrained } }, seed = setting.seeds,
}
