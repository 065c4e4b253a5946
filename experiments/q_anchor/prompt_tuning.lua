-- prompt_tuning.lua - a few soft tokens per scenario: the last rows of the paper's Tables 2, 3, 5 and 6.
--
-- For each of the ten scenarios: the pre-trained model as it is (0 steps), with six tuned prompt tokens, and the same
-- tokens on a model that was never pre-trained. Everything but prompts and prototypes is frozen. Tuned on the probe's
-- training users, measured by the same probe.
--   assay compare q_anchor_prompt_tuning --suite alipay10 --join dataset.task
local setting = require "setting"
local scenario = setting.each(setting.scenarios)
local pretrained = setting.pretrained()

local row = zip {
  init    = { pretrained, pretrained, none },
  adapter = { none, setting.prompt(), setting.prompt() },
  steps   = { 0, setting.prompt_steps, setting.prompt_steps },
}

return experiment {
  name = setting.name "prompt_tuning", dataset = setting.users { task = scenario.task }, model = setting.model(),
  init = row.init, adapter = row.adapter, mask = mask.causal {}, loss = setting.prototype(),
  train = setting.tuning { steps = row.steps },
  evaluate = { evaluator.linear_probe { suite = "alipay10", benchmarks = scenario.benchmarks } }, seed = setting.seeds,
}
