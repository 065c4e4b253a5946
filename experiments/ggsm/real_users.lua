-- real_users.lua - the masks on real people: shop customers (CDNOW), students who rate lectures (InstEval).
--
-- `scripts/data/cdnow` and `scripts/data/insteval` make the data from packages; the third real set, credit card
-- clients, is experiments/quickstart.lua.
--   assay compare ggsm_real_users --by mask --each
local setting = require "setting"

return experiment {
  name = "ggsm_real_users",
  dataset = any { dataset.users { path = "../../data/cdnow" }, dataset.users { path = "../../data/insteval" } },
  model = setting.model(),
  mask = any { mask.causal {}, mask.hybrid {}, mask.bidirectional {}, mask.ggsm { warmup = setting.warmup } },
  loss = setting.loss(), train = setting.train(), evaluate = { evaluator.linear_probe { metrics = { "auc" } } },
  seed = setting.seeds,
}
