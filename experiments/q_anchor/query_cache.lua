-- query_cache.lua - what a user's prefix cache costs and saves (spec 2.7): time of the prefix and of each added query,
-- bytes per user, and how far cached vectors are from those of the whole sequence.
-- The users do 40 things a day, so that every event slot is filled: 44, 74 or 710.
--   assay compare q_anchor_query_cache --suite query_cache
local setting = require "setting"

return experiment {
  name = setting.name "query_cache", dataset = setting.users { slots = any { "tiny", "small", "paper" }, activity = 40 },
  model = setting.model { slots = "compact", layout = "plain" }, mask = mask.causal {}, train = setting.train { steps = 0 },
  evaluate = { evaluator.query_cache {} }, seed = 1,
}
