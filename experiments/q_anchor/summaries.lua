-- summaries.lua - what the user's and the sources' tokens are means of (spec 2.3.1, 7): the encoders' vectors, as in the
-- published code, or the tokens behind the sources' adapters, as equation 2 of the paper can be read.
--   assay compare q_anchor_summaries --suite alipay10 --baseline model.summaries=code
local setting = require "setting"

return experiment {
  name = setting.name "summaries", dataset = setting.users(), model = setting.model { summaries = any { "code", "paper" } },
  adapter = setting.adapters, mask = mask.causal {}, loss = setting.losses(), train = setting.train(),
  evaluate = { setting.probe() }, seed = setting.seeds,
}
