{
  description = "Connects any two endpoints, WebSockets first, and serves WebSocket rooms";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      forEach = nixpkgs.lib.genAttrs systems;
      manifest = (nixpkgs.lib.importTOML ./Cargo.toml).package;
    in
    {
      packages = forEach (system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
        in
        {
          default = pkgs.rustPlatform.buildRustPackage {
            pname = manifest.name;
            version = manifest.version;
            src = self;
            cargoLock.lockFile = ./Cargo.lock;
            nativeBuildInputs = [ pkgs.installShellFiles ];
            # They need more of the system than the build sandbox has.
            doCheck = false;
            postInstall = ''
              installManPage man/wsplice.1
              installShellCompletion --bash completions/wsplice.bash --fish completions/wsplice.fish --zsh completions/_wsplice
            '';
            meta = {
              description = manifest.description;
              license = nixpkgs.lib.licenses.mit;
              mainProgram = "wsplice";
            };
          };
        });
    };
}
