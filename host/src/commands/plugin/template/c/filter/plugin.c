/* Drops the events of a quiet process. */

#include <string.h>

#include "filter_plugin.h"

static const char QUIET[] = "logrotate";
enum { LENGTH = sizeof QUIET - 1 };

bool exports_crypto_tracer_plugin_filter_configure(filter_plugin_string_t *config,
                                                   filter_plugin_string_t *error) {
  /* The plugin has no configuration. The tracer prints the error and does not start. */
  bool empty = config->len == 2 && memcmp(config->ptr, "{}", 2) == 0;
  filter_plugin_string_free(config);
  if (!empty) {
    filter_plugin_string_dup(error, "this plugin has nothing to configure");
  }
  return empty;
}

void exports_crypto_tracer_plugin_filter_decide(
    exports_crypto_tracer_plugin_filter_borrow_event_t event,
    exports_crypto_tracer_plugin_filter_decision_t *decision) {
  filter_plugin_string_t process;
  crypto_tracer_plugin_events_method_event_process(event, &process);
  bool quiet = process.len == LENGTH && memcmp(process.ptr, QUIET, LENGTH) == 0;
  filter_plugin_string_free(&process);
  memset(decision, 0, sizeof *decision);
  decision->tag = quiet ? EXPORTS_CRYPTO_TRACER_PLUGIN_FILTER_DECISION_DROP
                        : EXPORTS_CRYPTO_TRACER_PLUGIN_FILTER_DECISION_KEEP;
}
