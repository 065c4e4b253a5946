-- query_cache.lua - what a user's prefix cache costs and saves (spec 2.7): time of the prefix and of each added query,
-- bytes per user, and how far cached vectors are from those of the whole sequence.
--   assay compare q_anchor_query_cache --suite query_cache
local setting = require "setting"

return experiment {
  name = setting.name "query_cache", dataset = setting.users { slots = any { "tiny", "small", "paper" } },
  model = setting.model { slots = "fixed" }, mask = mask.causal {}, train = setting.train { steps = 0 },
  evaluate = { evaluator.query_cache {} }, seed = 1,
}
