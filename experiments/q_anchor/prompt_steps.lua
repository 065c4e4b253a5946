-- prompt_steps.lua - how long are prompts tuned? A fifth, two fifths ... all of the steps (the paper's Table 10).
--   assay compare q_anchor_prompt_steps --suite alipay10 --join dataset.task
local setting = require "setting"
local scenario = setting.each(setting.few_scenarios)

local steps = {}
for fifth = 1, 5 do steps[fifth] = setting.prompt_steps * fifth // 5 end

return experiment {
  name = setting.name "prompt_steps", dataset = setting.users { task = scenario.task }, model = setting.model(),
  init = setting.pretrained(), adapter = setting.prompt(), mask = mask.causal {}, loss = setting.prototype(),
  train = setting.tuning { steps = any(steps) },
  evaluate = { evaluator.linear_probe { suite = "alipay10", benchmarks = scenario.benchmarks } }, seed = setting.seeds,
}
