/** The configuration of the docker-compose example of github.com/envoyproxy/ratelimit, in short. */
export const ENVOY_DEMO = `---
domain: rl
descriptors:
  - key: source_cluster
    value: proxy
    descriptors:
      - { key: destination_cluster, value: mock, rate_limit: { unit: minute, requests_per_unit: 1 } }
  - key: foo
    rate_limit: { unit: minute, requests_per_unit: 2 }
    descriptors:
      - { key: bar, rate_limit: { unit: minute, requests_per_unit: 3 } }
      - { key: bar, value: banned, rate_limit: { unit: minute, requests_per_unit: 0 } }
      - { key: baz, rate_limit: { unit: second, requests_per_unit: 1 } }
      - { key: bay, rate_limit: { unlimited: true } }
      - { key: baz, value: shady, rate_limit: { unit: minute, requests_per_unit: 1 }, shadow_mode: true }
  - { key: qux, rate_limit: { unlimited: true } }
`;
