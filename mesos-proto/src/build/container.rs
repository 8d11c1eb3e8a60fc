//! What it runs in.

use alloc::string::String;

use crate::v1;
use v1::container_info::docker_info::{self, Network};
use v1::container_info::{DockerInfo, MesosInfo, Type};
use v1::network_info;
use v1::volume::{Mode, Source, source};

impl v1::ContainerInfo {
    /// A container of the Docker containerizer: an image's name, or a [`DockerInfo`].
    #[must_use]
    pub fn docker(docker: impl Into<DockerInfo>) -> Self {
        Self { r#type: Type::Docker.into(), docker: Some(docker.into()), ..Self::default() }
    }

    /// A container of Mesos's own containerizer: the name of a Docker image, an [`Image`](v1::Image), or
    /// `MesosInfo::default()` for the agent's own file system.
    #[must_use]
    pub fn mesos(mesos: impl Into<MesosInfo>) -> Self {
        Self { r#type: Type::Mesos.into(), mesos: Some(mesos.into()), ..Self::default() }
    }

    /// Adds a volume.
    #[must_use]
    pub fn with_volume(mut self, volume: v1::Volume) -> Self {
        self.volumes.push(volume);
        self
    }

    /// Adds a network to join: of CNI for Mesos containers; for Docker's the one that [`Network::User`] means.
    #[must_use]
    pub fn with_network(mut self, network: v1::NetworkInfo) -> Self {
        self.network_infos.push(network);
        self
    }
}

impl DockerInfo {
    /// A container of this image, on the host's network.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self { image: image.into(), ..Self::default() }
    }

    /// The network; HOST without it. USER takes its name from
    /// [`ContainerInfo::with_network`](v1::ContainerInfo::with_network).
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = Some(network.into());
        self
    }

    /// Adds a port of the host, one of the task's resource `ports`, that leads to a port of the container; the protocol
    /// is `tcp` or `udp`. Not on the host's network.
    #[must_use]
    pub fn with_port_mapping(mut self, host_port: u16, container_port: u16, protocol: impl Into<String>) -> Self {
        self.port_mappings.push(docker_info::PortMapping {
            host_port: host_port.into(),
            container_port: container_port.into(),
            protocol: Some(protocol.into()),
        });
        self
    }

    /// Adds an option for `docker run`, such as `hostname` and a name.
    #[must_use]
    pub fn with_parameter(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push(v1::Parameter::new(key, value));
        self
    }

    /// Whether to pull the image even if the agent has it.
    #[must_use]
    pub fn with_force_pull_image(mut self, force: bool) -> Self {
        self.force_pull_image = Some(force);
        self
    }
}

impl From<&str> for DockerInfo {
    fn from(image: &str) -> Self {
        Self::new(image)
    }
}

impl From<String> for DockerInfo {
    fn from(image: String) -> Self {
        Self::new(image)
    }
}

impl v1::Image {
    /// An image of Docker's format, by its name.
    #[must_use]
    pub fn docker(name: impl Into<String>) -> Self {
        let docker = v1::image::Docker { name: name.into(), ..v1::image::Docker::default() };
        Self { r#type: v1::image::Type::Docker.into(), docker: Some(docker), ..Self::default() }
    }
}

impl From<v1::Image> for MesosInfo {
    fn from(image: v1::Image) -> Self {
        Self { image: Some(image) }
    }
}

impl From<&str> for MesosInfo {
    fn from(image: &str) -> Self {
        v1::Image::docker(image).into()
    }
}

impl From<String> for MesosInfo {
    fn from(image: String) -> Self {
        v1::Image::docker(image).into()
    }
}

impl v1::NetworkInfo {
    /// The network of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Adds a port of the host that leads to a port of a Mesos container; the protocol is `tcp` or `udp`.
    #[must_use]
    pub fn with_port_mapping(mut self, host_port: u16, container_port: u16, protocol: impl Into<String>) -> Self {
        self.port_mappings.push(network_info::PortMapping {
            host_port: host_port.into(),
            container_port: container_port.into(),
            protocol: Some(protocol.into()),
        });
        self
    }
}

impl v1::Volume {
    /// A path of the agent's host.
    #[must_use]
    pub fn host(host_path: impl Into<String>, container_path: impl Into<String>, mode: Mode) -> Self {
        Self {
            host_path: Some(host_path.into()),
            container_path: container_path.into(),
            mode: mode.into(),
            ..Self::default()
        }
    }

    /// A volume of one of Docker's volume drivers, by its name.
    #[must_use]
    pub fn docker(
        driver: impl Into<String>,
        name: impl Into<String>,
        container_path: impl Into<String>,
        mode: Mode,
    ) -> Self {
        let volume = source::DockerVolume { driver: Some(driver.into()), name: name.into(), driver_options: None };
        let source = Source {
            r#type: Some(source::Type::DockerVolume.into()),
            docker_volume: Some(volume),
            ..Source::default()
        };
        Self { source: Some(source), container_path: container_path.into(), mode: mode.into(), ..Self::default() }
    }

    /// A path of the executor's sandbox, for the tasks of a group to share.
    #[must_use]
    pub fn parent_sandbox(path: impl Into<String>, container_path: impl Into<String>, mode: Mode) -> Self {
        let sandbox =
            source::SandboxPath { r#type: Some(source::sandbox_path::Type::Parent.into()), path: path.into() };
        let source =
            Source { r#type: Some(source::Type::SandboxPath.into()), sandbox_path: Some(sandbox), ..Source::default() };
        Self { source: Some(source), container_path: container_path.into(), mode: mode.into(), ..Self::default() }
    }
}
