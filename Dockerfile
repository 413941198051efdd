# The decision service of Sluice. Build it with `docker build -t sluice .`; it runs as nobody in particular, without a shell,
# and on a root file system that is read-only: docs/service-container.md.

FROM node:22-bookworm-slim AS build
WORKDIR /sluice
COPY package.json package-lock.json .npmrc ./
COPY bench/package.json bench/
COPY dashboard/package.json dashboard/
COPY packages/cli/package.json packages/cli/
COPY packages/sluice/package.json packages/sluice/
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY scripts scripts
COPY dashboard dashboard
COPY packages packages
RUN npm run build
# The same versions again, without what builds, tests, measures, and without frameworks that the library can go with.
RUN rm -rf bench dashboard node_modules \
  && npm pkg delete devDependencies \
  && npm pkg set --json 'workspaces=["packages/*"]' \
  && npm pkg delete devDependencies peerDependencies peerDependenciesMeta --workspaces \
  && npm install --ignore-scripts --omit=dev --no-audit --no-fund

FROM gcr.io/distroless/nodejs22-debian12:nonroot
WORKDIR /sluice
ENV NODE_ENV=production
ENV SLUICE_LISTEN=0.0.0.0:8088
ENV SLUICE_POLICIES=/etc/sluice/policies.yaml
COPY --from=build /sluice/node_modules node_modules
COPY --from=build /sluice/packages/sluice/package.json packages/sluice/package.json
COPY --from=build /sluice/packages/sluice/dist packages/sluice/dist
COPY --from=build /sluice/packages/cli/package.json packages/cli/package.json
COPY --from=build /sluice/packages/cli/bin packages/cli/bin
COPY --from=build /sluice/packages/cli/dist packages/cli/dist
USER 65532:65532
EXPOSE 8088
# For an address other than the one above, give `docker run` a --health-cmd of your own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/nodejs/bin/node", "-e", "fetch('http://127.0.0.1:8088/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# No shell stands between: SIGTERM reaches node, and the service drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "packages/cli/bin/sluice.mjs"]
CMD ["serve"]
