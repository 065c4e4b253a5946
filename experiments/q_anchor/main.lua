-- main.lua - Q-Anchor beside what it is compared with: the rows of the paper's Tables 2 and 5.
--
-- The untrained model stands in for the language models that the paper embeds with, whose weights are not to be had
-- here; CPC, MSDP, One4all and FOUND are small models of their kind (README: baselines), on the same users and steps.
-- Prompt tuning, a model per scenario, is prompt_tuning.lua.
--   assay compare q_anchor_main --suite alipay10 --wide
--   assay compare q_anchor_main --suite alipay10 --published q-anchor/table-2
local setting = require "setting"
local q_anchor = setting.model()
local events = model.event_sequence { attention = "causal" }
local both_ways = model.event_sequence { attention = "bidirectional" }

local method = zip {
  model = { q_anchor, q_anchor, events, events, both_ways, both_ways },
  mask  = { mask.causal {}, mask.causal {}, none, none, none, none },
  loss  = {
    setting.losses(), setting.losses(),
    loss.cpc {}, loss.distribution {}, loss.masked_event {}, loss.future_alignment {},
  },
  steps = { setting.steps, 0, setting.steps, setting.steps, setting.steps, setting.steps },
}

return experiment {
  name = setting.name "main", dataset = setting.users(), model = method.model, mask = method.mask, loss = method.loss,
  train = setting.train { steps = method.steps, pieces = 1 },
  evaluate = { setting.probe(), evaluator.linear_probe { suite = "cognition9" } }, seed = setting.seeds,
}
