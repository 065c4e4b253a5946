-- loss_curves.lua - the contrastive loss as the future opens: GG-SM, its control and the scheduler (the paper's Fig. 3).
--   assay plot ggsm_loss_curves loss --by mask
--   assay plot ggsm_loss_curves mask/weight_mean --by mask
local setting = require "setting"

return experiment {
  name = setting.name "loss_curves", dataset = setting.users(), model = setting.model(), adapter = setting.adapters,
  mask = any {
    mask.causal {},
    mask.bidirectional {},
    mask.future { weight = function(step, total) return math.max((step + 1) / total, 1e-4) end },
    mask.ggsm { warmup = setting.warmup },
    mask.ggsm { warmup = setting.warmup, guidance = "constant" },
  },
  loss = setting.loss(), train = setting.train(), evaluate = {}, seed = setting.seeds,
}
