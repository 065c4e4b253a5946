-- prompt_tokens.lua - how many soft tokens? 1 to 16 (the paper's Table 9).
--   assay compare q_anchor_prompt_tokens --suite alipay10 --join dataset.task
local setting = require "setting"
local scenario = setting.each(setting.few_scenarios)

return experiment {
  name = setting.name "prompt_tokens", dataset = setting.users { task = scenario.task }, model = setting.model(),
  init = setting.pretrained(), adapter = setting.prompt { tokens = any { 1, 2, 4, 6, 8, 16 } }, mask = mask.causal {},
  loss = setting.prototype(), train = setting.tuning { steps = setting.prompt_steps },
  evaluate = { evaluator.linear_probe { suite = "alipay10", benchmarks = scenario.benchmarks } }, seed = setting.seeds,
}
