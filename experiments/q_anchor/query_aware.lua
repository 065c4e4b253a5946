-- query_aware.lua - is the question worth asking? One pre-trained model, embedding each user with the benchmark's
-- question and without any.
--   assay compare q_anchor_query_aware --suite alipay10 --wide
local setting = require "setting"

return experiment {
  name = setting.name "query_aware", dataset = setting.users { without_questions = any { false, true } }, model = setting.model(),
  init = setting.pretrained(), adapter = setting.adapters, mask = mask.causal {}, train = setting.train { steps = 0 },
  evaluate = { setting.probe() }, seed = setting.seeds,
}
