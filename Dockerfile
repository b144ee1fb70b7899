# vmferry's control worker, codec server and CLI. Host workers run under systemd on their hosts, not in a container.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev
COPY . .
# Built here, so that a worker is ready in under a second and an import that workflows may not have fails the build.
RUN node workers/build-bundle.ts

FROM node:${NODE_VERSION}-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app ./
# Its own files belong to root: what runs cannot change itself.
USER 1000:1000
ENTRYPOINT ["/app/bin/vmferry"]
CMD ["--help"]
